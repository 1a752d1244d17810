#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
#
# Reads with CRIU's crit, on the host, all checkpoints that tests kept in $CRK_IMAGES: directories PROGRAM.RANDOM.  crit
# decodes each image that it knows and shows processes, memory and files.  Prints TAP, one case per program.
#
# usage: crit.py DIR

import collections
import glob
import multiprocessing
import os
import re
import sys

from pycriu import cli, images


def is_zombie(path, pid):
    with open('%s/core-%s.img' % (path, pid), 'rb') as f:
        return images.load(f)['entries'][0]['tc']['task_state'] == 3


def crit(path, *args):
    """None, or what is wrong"""
    sys.argv = ['crit'] + list(args)
    out = sys.stdout
    try:
        with open(os.devnull, 'w') as sys.stdout:
            cli.main()
    except BaseException as e:
        if isinstance(e, SystemExit) and not e.code:
            return None
        # a zombie has no memory and no files: crit ends there, with CRIU's own images too
        name = str(getattr(e, 'filename', ''))
        m = re.search('/(mm|ids|fs)-([0-9]+).img$', name)
        if m and is_zombie(path, m[2]):
            return None
        return 'crit %s: %r %s' % (' '.join(args), e, name)
    finally:
        sys.stdout = out
    return None


def read(path):
    """how many images, what is wrong"""
    names = [f for f in sorted(glob.glob(path + '/*.img'))
             if not os.path.basename(f).startswith(('pages-', 'crk-'))]
    errors = [crit(path, 'decode', '-i', f, '-o', '/dev/null') for f in names]
    # a pre-dump has pages only, CRIU's too
    if os.path.exists(path + '/pstree.img'):
        errors += [crit(path, 'x', path, what) for what in ('ps', 'mems', 'fds')]
    if not names:
        errors.append('%s: no images' % path)
    return len(names), [e for e in errors if e]


def main(top):
    programs = collections.defaultdict(list)
    for d in sorted(glob.glob(top + '/*.*')):
        programs[os.path.basename(d).rsplit('.', 1)[0]].append(d)
    print('TAP version 13')
    failed = False
    # a process for each checkpoint: crit keeps files of the last one
    with multiprocessing.Pool(1, maxtasksperchild=1) as pool:
        for n, (name, dirs) in enumerate(programs.items(), 1):
            counts, errors = zip(*pool.map(read, dirs, chunksize=1))
            for e in sum(errors, []):
                print('#', e)
            bad = any(errors)
            failed |= bad
            print('%sok %d %s: checkpoints %d, images %d' % ('not ' if bad else '', n, name, len(dirs), sum(counts)))
    print('1..%d' % len(programs))
    return failed


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
