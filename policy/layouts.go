package policy

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"ckptfs/layout"
)

// AllLayouts are the layouts of a mount: the user's own before those that come
// with the program.
func (c Config) AllLayouts() []*layout.Layout { return layout.With(c.Layouts) }

// layouts reads the layouts of a configuration: a list of what is a file each
// elsewhere.
func layouts(c *Config, node *yaml.Node) error {
	if node.Kind != yaml.SequenceNode {
		return fmt.Errorf("it takes a list of layouts, not %s", nodeText(node))
	}
	for i, item := range node.Content {
		text, err := yaml.Marshal(item)
		if err != nil {
			return fmt.Errorf("layout %d: %w", i+1, err)
		}
		l, err := layout.Parse(fmt.Sprintf("%d of the list (line %d)", i+1, item.Line), text)
		if err != nil {
			return err
		}
		for _, other := range c.Layouts {
			if other.Name == l.Name {
				return fmt.Errorf("two layouts are called %s", l.Name)
			}
		}
		c.Layouts = append(c.Layouts, l)
	}
	return nil
}
