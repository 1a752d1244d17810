# SPDX-License-Identifier: GPL-2.0
#
# All of crk from one place.  KDIR= is the build tree of the kernel that the module is for, default the running one's;
# each part has its own Makefile for the rest.

PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
KDIR ?= /lib/modules/$(shell uname -r)/build

all: module helper

help:
	@echo 'make            module for KDIR= and helper'
	@echo 'make module     crk.ko for KDIR= (default: the running kernel)'
	@echo 'make helper     helper/crkhelper'
	@echo 'make install    both, and the man page; PREFIX= DESTDIR='
	@echo 'make demo       set up a guest, checkpoint and restore a program in it; ARCH=arm: on ARM'
	@echo 'make check      build for every kernel of scripts/kernels.list and run all tests in guests'
	@echo 'make lint       scripts/check.sh: style and static checks, a minute'
	@echo 'make bench      measure, beside CRIU; ARCH=arm: on ARM, where Debian has no CRIU'
	@echo 'make clean'

module:
	$(MAKE) -C module KDIR=$(KDIR)

helper:
	$(MAKE) -C helper

install: all
	$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) INSTALL_MOD_DIR=extra modules_install
	[ -n "$(DESTDIR)" ] || depmod "$$(sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h)"
	install -D -m 755 helper/crkhelper $(DESTDIR)$(SBINDIR)/crkhelper
	install -D -m 644 helper/crkhelper.8 $(DESTDIR)$(MANDIR)/man8/crkhelper.8

clean:
	-$(MAKE) -C module KDIR=$(KDIR) clean
	$(MAKE) -C helper clean
	$(MAKE) -C selftests clean

demo:
	scripts/demo $(if $(ARCH),-a $(ARCH))

check:
	scripts/check-all

lint:
	scripts/check.sh

bench:
	scripts/bench.sh $(if $(ARCH),-a $(ARCH))

.PHONY: all help module helper install clean demo check lint bench
