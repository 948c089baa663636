package fs

import (
	"context"
	"errors"
	"syscall"
)

// errno is the one place where an error of the store becomes what the caller
// sees. What the caller could not have caused is logged, once, here.
func (m *mount) errno(doing string, err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var e syscall.Errno
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	default:
		e = syscall.EIO
	}
	switch e {
	case syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EBADF, syscall.EFAULT, syscall.EUCLEAN:
		m.log.Error("request failed", "doing", doing, "err", err)
	default:
		m.log.Debug("request refused", "doing", doing, "err", err)
	}
	return e
}
