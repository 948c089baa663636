package fs

import (
	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// What each node answers. Left out on purpose, everywhere:
//
//	NodeIoctler         the loopback forwards ioctls with the daemon's rights, and an
//	                    ordinary user shut the backing file system down through it;
//	                    without it the answer is ENOTTY
//	NodeGetlker …       locks stay with the kernel: all users of a file come through
//	                    this mount, and a killed holder loses his lock at once
//	NodeTmpfiler        a file without a name cannot be told to belong to a checkpoint
//	NodeCopyFileRanger  the kernel copies by itself, past the daemon with passthrough
//	NodeAccesser        default_permissions: the kernel checks
type liveDir interface {
	fusefs.NodeLookuper
	fusefs.NodeGetattrer
	fusefs.NodeSetattrer
	fusefs.NodeStatfser
	fusefs.NodeOpendirHandler
	fusefs.NodeFsyncer
	fusefs.NodeCreater
	fusefs.NodeMkdirer
	fusefs.NodeMknoder
	fusefs.NodeSymlinker
	fusefs.NodeLinker
	fusefs.NodeUnlinker
	fusefs.NodeRmdirer
	fusefs.NodeRenamer
	fusefs.NodeGetxattrer
	fusefs.NodeListxattrer
	fusefs.NodeSetxattrer
	fusefs.NodeRemovexattrer
}

type liveFile interface {
	fusefs.NodeGetattrer
	fusefs.NodeSetattrer
	fusefs.NodeOpener
	fusefs.NodeReadlinker
	fusefs.NodeGetxattrer
	fusefs.NodeListxattrer
	fusefs.NodeSetxattrer
	fusefs.NodeRemovexattrer
}

type refusesChange interface {
	fusefs.NodeCreater
	fusefs.NodeMkdirer
	fusefs.NodeMknoder
	fusefs.NodeSymlinker
	fusefs.NodeLinker
	fusefs.NodeUnlinker
	fusefs.NodeRmdirer
	fusefs.NodeRenamer
	fusefs.NodeSetattrer
	fusefs.NodeSetxattrer
	fusefs.NodeRemovexattrer
}

type openFile interface {
	fusefs.FilePassthroughFder
	fusefs.FileReader
	fusefs.FileWriter
	fusefs.FileFlusher
	fusefs.FileReleaser
	fusefs.FileFsyncer
	fusefs.FileAllocater
	fusefs.FileLseeker
}

type openDir interface {
	fusefs.FileReaddirenter
	fusefs.FileSeekdirer
}

var (
	_ liveDir       = (*dir)(nil)
	_ liveFile      = (*file)(nil)
	_ openFile      = (*handle)(nil)
	_ openDir       = (*listing)(nil)
	_ refusesChange = (*viewDir)(nil)
	_ refusesChange = (*viewFile)(nil)
	_ refusesChange = (*viewLink)(nil)
	_ refusesChange = (*indexDir)(nil)

	_ fusefs.NodeOnAdder     = (*viewDir)(nil)
	_ fusefs.NodeOnForgetter = (*viewDir)(nil)
	_ fusefs.NodeOnAdder     = (*viewFile)(nil)
	_ fusefs.NodeOnForgetter = (*viewFile)(nil)
)
