package format

import "io"

// indexJSON reads the index of a model in shards, which transformers, diffusers,
// PaddleNLP and torchtitan write as X.index.json and Keras as X.weights.json:
// {"metadata": …, "weight_map": {"layer.weight": "model-00001-of-00003.safetensors"}}.
// A weight may lie in several shards, which are a list then. The weights are
// passed one by one and not kept.
func indexJSON(_ string, r io.ReaderAt, size int64) (Needs, error) {
	data, err := jsonText(r, size)
	if err != nil {
		return nil, err
	}
	p := &jsonParser{data: data, left: maxJSONValues}
	if p.space(); p.peek() != '{' {
		_, err := parseJSON(data) // another program's, or nothing whole
		return nil, err
	}
	var needs Needs
	var wrong error // that of the last weight_map, as Python takes it
	err = p.members('}', func() error {
		key, err := p.key()
		if err != nil {
			return err
		}
		if p.space(); key != "weight_map" || p.peek() != '{' {
			return p.skip(1)
		}
		needs, wrong = Needs{}, nil
		return p.members('}', func() error {
			if _, err := p.key(); err != nil {
				return err
			}
			v, err := p.value(2)
			if err == nil && wrong == nil {
				wrong = needs.addAll(v)
			}
			p.left = maxJSONValues
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos != len(p.data) {
		return nil, p.damaged("something follows its end")
	}
	return needs, wrong
}

// addAll asks for the shard or the shards that a weight lies in.
func (n Needs) addAll(v any) error {
	switch v := v.(type) {
	case string:
		return n.add(v, 0)
	case []any:
		for _, shard := range v {
			if err := n.addAll(shard); err != nil {
				return err
			}
		}
		return nil
	}
	return Damage("damaged: it does not say in which file a weight lies")
}
