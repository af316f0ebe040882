# glowplug: `make demo` shows it, `make test` checks everything. See README.md.

SHELL = /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:

ARCH := amd64
OUT := $(CURDIR)/target
TOOLS := $(OUT)/tools/bin
LAB := $(OUT)/lab
MACHINE_LAB := $(OUT)/machine-lab
IMAGES := $(OUT)/image
# The tag of `make oci`, and a raw image of the other architecture if there is one.
TAG := latest
IMAGE :=
# Where `make test-podman` and `make test-oci` take podman from: trixie, or experimental for Debian's newest.
CLIENT := trixie
# What `make test-podman` does: any of the sessions image, options and updates. Each begins without a machine.
SESSIONS := image
CONFIG := tests/boot/configs/6.0-applehv-default.ign
export PATH := $(TOOLS):$(PATH)
# Otherwise cargo would look for the tokens of make's jobs, which make gives to no other program.
export CARGO_MAKEFLAGS =

CPU_amd64 = x86_64
CPU_arm64 = aarch64
CPU = $(or $(CPU_$(ARCH)),$(error ARCH=$(ARCH): amd64 or arm64))

# Evaluated late, since the C library is known only after `deps`.
LIBC = $(shell tests/libc $(CPU))
TARGET = $(CPU)-unknown-linux-$(if $(filter glibc,$(LIBC)),gnu,musl)
CARGO_HOME_PATH = $(or $(CARGO_HOME),$(HOME)/.cargo)
# The same source gives the same bytes in whatever directory it lies.
REMAP = --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(CARGO_HOME_PATH)=cargo
# httparse needs no vector instructions for one answer: 1.5 KB less of the initramfs.
FLAGS = $(REMAP) -C target-feature=+crt-static
# Rust's own linker needs no C compiler for arm64.
LLD = -C linker=rust-lld -C linker-flavor=ld.lld
FLAGS_arm64 = $(LLD)
RELEASE = CARGO_CFG_HTTPARSE_DISABLE_SIMD=1 RUSTFLAGS="$(FLAGS) $(1)" cargo build --release --locked --bins
# glowplug-fetch is built by a call of its own, so that its crates add no features to those of glowplug. ring has parts in C
# that call no library, so the compiler of another libc will do.
CC_amd64 = gcc
CC_arm64 = aarch64-linux-gnu-gcc
FETCH = env CC_$(subst -,_,$(TARGET))=$(CC_$(ARCH)) $(RELEASE_$(LIBC)) --package glowplug-fetch
RELEASE_glibc = $(call RELEASE,$(FLAGS_$(ARCH)))
# It also keeps one copy of functions with the same code, and pads no segment to whole pages: 10 KB less. Nothing compares
# the addresses of functions.
RELEASE_rust-musl = $(call RELEASE,$(LLD) -C link-arg=--icf=all)
# RUSTC_BOOTSTRAP, since cargo's -Z build-std is not stable yet. The standard library wants an unwinder to be linked. A
# panic aborts, so the functions in src/sys/no_unwinder.rs are all that it needs, and libunwind.a is empty. Packed relocations save
# 28 KB; musl reads them since 1.2.4.
STUBS = $(OUT)/stubs
RELEASE_debian-musl = RUSTC_BOOTSTRAP=1 $(call RELEASE,-C link-self-contained=no -C linker=musl-gcc -L $(STUBS) \
	$(shell dpkg --compare-versions "$$(dpkg-query -W -f '$${Version}' musl-dev)" lt 1.2.4 || \
	echo -C link-arg=-Wl$(COMMA)-z$(COMMA)pack-relative-relocs)) -Z build-std=std,panic_abort
COMMA = ,
BIN = $(OUT)/$(TARGET)/release
DEB = $(OUT)/deb/glowplug-$(ARCH).deb
NETWORK_DEB = $(OUT)/deb/glowplug-network-$(ARCH).deb
MACHINE_DEB = $(OUT)/deb/glowplug-podman-machine-$(ARCH).deb
DISKS_DEB = $(OUT)/deb/glowplug-disks.deb
VERSION = $(shell sed -n '1s/.*(\(.*\)).*/\1/p' podman-machine/debian/changelog)

SCRIPTS = initramfs-tools/hooks/glowplug initramfs-tools/scripts/init-bottom/glowplug \
	dracut/50glowplug/module-setup.sh dracut/50glowplug/glowplug-emergency.sh dracut/50glowplug/glowplug-pre-pivot.sh \
	tests/deps tests/runner tests/steps tests/libc tests/bare tests/fresh tests/lint-man tests/lint-crates tests/check-packages \
	tests/check-steps tests/check-builds tests/reference tests/moto tests/lintian tests/debian-source tests/network tests/vsock-net tests/gvproxy tests/bench-fetch tests/bench-cloud-init \
	network/initramfs-tools/glowplug-network network/dracut/module-setup.sh tests/boot/network \
	tests/boot/prepare tests/boot/debian tests/boot/image-setup tests/oci \
	tests/disks/prepare tests/disks/run tests/disks/crash tests/disks/beside $(wildcard tests/disks/beside-guest/*) tests/disks/guests tests/disks/guest/init tests/disks/guest/in_root \
	$(wildcard tests/disks/cases/*/before tests/disks/cases/*/provision tests/disks/cases/*/check) \
	tests/boot/hosts-in-guest tests/boot/forwarder tests/boot/generators tests/boot/lifecycle tests/boot/first-boot tests/boot/machine/checks \
	tests/boot/machine/offline fuzz/run image/build image/oci debian/deb debian/pack podman-machine/deb \
	docs/examples/vsock-connect tests/updates tests/podman/run tests/podman/client tests/podman/qemu-system-x86_64 \
	$(filter-out debian/tests/control,$(wildcard debian/tests/*)) \
	debian/glowplug.postinst debian/glowplug.prerm debian/glowplug.postrm \
	podman-machine/debian/postrm $(wildcard podman-machine/root/usr/libexec/*/*) \
	podman-machine/root/usr/sbin/update-ca-trust podman-machine/root/etc/profile.d/podman-machine-path.sh \
	podman-machine/root/usr/lib/systemd/system-generators/glowplug-podman-machine-shares \
	podman-machine/root/usr/share/initramfs-tools/hooks/glowplug-podman-machine
# The environment of the lab's programs.
LAB_ENV = GLOWPLUG_LAB="$(LAB)" GLOWPLUG_MACHINE_LAB="$(MACHINE_LAB)" \
	GLOWPLUG_BIN="$(BIN)/glowplug" GLOWPLUG_IMAGES="$(IMAGES)" GLOWPLUG_GVPROXY="$(OUT)/gvproxy/gvproxy"
# The packages that making and starting an image for another architecture needs.
PACKAGES_arm64 = qemu-user-static qemu-system-arm qemu-efi-aarch64 gcc-aarch64-linux-gnu
# Compiles the programs for arm64, which no other check does. A standard library for it comes from rustup, or from the source
# of Debian's.
CHECK_ARM64 = cargo check --quiet --locked --bins --target aarch64-unknown-linux-musl
CHECK_ARM64_rust-musl = $(CHECK_ARM64)
CHECK_ARM64_debian-musl = RUSTC_BOOTSTRAP=1 $(CHECK_ARM64) -Z build-std=std,panic_abort
CHECK_ARM64_glibc = @echo "lint: this Rust has no standard library for arm64: not compiled for it"
# Shows each long step as one line, with its output in a log (tests/steps).
STEP = LOGS="$(OUT)/log"; . tests/steps; step
DEPS = CPU=$(CPU) PACKAGES="$(PACKAGES_$(ARCH))" tests/deps $(OUT)/tools
# How many seconds each fuzz target runs, and which targets run if not all.
SECONDS = 60
# How many power cuts `make crash` makes.
N = 50
TARGETS =

.PHONY: all build build-glibc deps-build deps-lab deps deb debian-source lintian lab check-packages generators lifecycle first-boot offline machine-lab gvproxy image image-test oci test-oci test-podman test-updates updates-repository \
	demo test parts check unit network vsock-net disks disks-crash disks-beside lint lint-code lint-crates bare fresh boot boot-parts guests boot-one boot-more bench crash fuzz fuzz-smoke fuzz-one fmt clean

all: build

build:
	@mkdir -p $(STUBS)
	@printf '!<arch>\n' >$(STUBS)/libunwind.a
	@$(STEP) programs "the programs, with $(LIBC)" env $(RELEASE_$(LIBC)) --target $(TARGET)
	@$(STEP) fetch "glowplug-fetch, with $(LIBC)" $(FETCH) --target $(TARGET)

# Machines without the musl target need this build, so it is also tested on machines that have the target.
build-glibc:
	@$(STEP) programs-glibc "the programs, with glibc" env $(RELEASE_glibc) --target $(CPU)-unknown-linux-gnu
	$(OUT)/$(CPU)-unknown-linux-gnu/release/glowplug --version
	$(OUT)/$(CPU)-unknown-linux-gnu/release/glowplug-ready --version

# deps-build installs what making the packages needs, deps-lab also what the guest of `make demo` needs, and deps
# everything.
deps-build:
	@$(DEPS) build

deps-lab:
	@$(DEPS) lab vhost-device-vsock

deps:
	@$(DEPS) test vhost-device-vsock

# A second make, since the target is known only after `deps`.
deb: deps-build
	@$(MAKE) --no-print-directory $(DEB) $(NETWORK_DEB) $(MACHINE_DEB) $(DISKS_DEB)

# A file target, so that the lab is made anew only if the package has changed.
$(DEB): build
	@mkdir -p $(OUT)/deb
	@debian/deb glowplug $(BIN) $(ARCH) $(OUT)/deb/new.deb
	@cmp -s $(OUT)/deb/new.deb $@ || mv $(OUT)/deb/new.deb $@
	@rm -f $(OUT)/deb/new.deb
	@cp $@ $(OUT)/deb/$$(dpkg-deb -f $@ Package)_$$(dpkg-deb -f $@ Version)_$$(dpkg-deb -f $@ Architecture).deb

$(NETWORK_DEB): build
	@mkdir -p $(OUT)/deb
	@debian/deb glowplug-network $(BIN) $(ARCH) $(OUT)/deb/new-network.deb
	@cmp -s $(OUT)/deb/new-network.deb $@ || mv $(OUT)/deb/new-network.deb $@
	@rm -f $(OUT)/deb/new-network.deb
	@cp $@ $(OUT)/deb/$$(dpkg-deb -f $@ Package)_$$(dpkg-deb -f $@ Version)_$$(dpkg-deb -f $@ Architecture).deb

# The next two packages are made each time. The same source gives the same bytes.
.PHONY: $(MACHINE_DEB) $(DISKS_DEB)
$(MACHINE_DEB): build
	@mkdir -p $(OUT)/deb
	@podman-machine/deb $(BIN) $(ARCH) $(VERSION) $@
	@cp $@ $(OUT)/deb/glowplug-podman-machine_$(VERSION)_$(ARCH).deb

$(DISKS_DEB):
	@mkdir -p $(OUT)/deb
	@debian/deb glowplug-disks $(BIN) $(ARCH) $@
	@cp $@ $(OUT)/deb/glowplug-disks_$$(dpkg-deb -f $@ Version)_all.deb

# Debian's own source package, built, compared and tested in a Debian sid. It is not part of `make test`: it takes too long.
debian-source: deps-lab
	@tests/debian-source $(OUT)/debian-source

# The packages, with the lintian of Debian 13 and with that of sid.
lintian: deps-lab deb
	@tests/lintian $(OUT)/lintian trixie $(DEB) $(NETWORK_DEB) $(MACHINE_DEB) $(DISKS_DEB)
	@tests/lintian $(OUT)/lintian sid $(DEB) $(NETWORK_DEB) $(MACHINE_DEB) $(DISKS_DEB)

# With WITHOUT_DRACUT only the plain guest with initramfs-tools.
lab: deps-lab deb
	@WITHOUT_DRACUT=$(WITHOUT_DRACUT) NETWORK=$(NETWORK_DEB) DISKS=$(DISKS_DEB) tests/boot/prepare $(DEB) $(LAB)

# Checks the packages, and what dpkg makes of them in the guest's tree.
check-packages: deps lab
	lintian --fail-on error,warning $(DEB) $(NETWORK_DEB) $(MACHINE_DEB) $(DISKS_DEB)
	tests/check-packages $(BIN) $(ARCH) $(DEB) $(NETWORK_DEB) $(MACHINE_DEB) $(DISKS_DEB) $(LAB)/root

# The guest of the podman machine, with podman and everything else on which the layer depends, and the gvproxy of its host.
machine-lab: deps-lab deb gvproxy
	@tests/boot/prepare $(DEB) $(MACHINE_LAB) $(MACHINE_DEB)

gvproxy: deps-lab
	@tests/gvproxy $(OUT)/gvproxy

image: deps-lab deb
	image/build $(ARCH) $(IMAGES) $(DEB) $(MACHINE_DEB)

image-test: image
	$(LAB_ENV) cargo test --quiet --locked --release -p boot-lab --test guests -- --include-ignored image::$(ARCH)

# An OCI layout of the images, which a registry takes and podman machine pulls.
oci: image
	image/oci $(OUT)/oci $(TAG) $(IMAGES)/debian-$(ARCH).raw $(IMAGE)

# A layout twice, byte for byte the same. Then a registry, from which the real client makes machines.
test-oci: image
	for layout in oci-test oci-again; do image/oci $(OUT)/$$layout $(TAG) $(IMAGES)/debian-amd64.raw || exit 1; done
	diff -r $(OUT)/oci-test $(OUT)/oci-again
	tests/check-layout $(OUT)/oci-test $(TAG) x86_64
	tests/podman/run registry $(OUT)/oci-test $(OUT)/podman $(CLIENT)

# unattended-upgrades in the tree of the image, with a newer kernel. Nothing is booted.
test-updates: image
	tests/updates $(IMAGES)/base-amd64-*.tar $(OUT)/updates $(DEB) $(MACHINE_DEB)

# The real client: Debian's podman, as an ordinary user, makes a machine of the image and works with it.
test-podman: image $(if $(filter updates,$(SESSIONS)),updates-repository)
	for session in $(SESSIONS); do \
		UPDATES=$(OUT)/updates/repository \
			tests/podman/run $$session $(IMAGES)/debian-amd64.qcow2 $(OUT)/podman $(CLIENT) || exit 1; \
	done

# The packages of a newer kernel, which `test-updates` also makes.
updates-repository: image
	tests/updates $(IMAGES)/base-amd64-*.tar $(OUT)/updates

demo: WITHOUT_DRACUT = 1
demo: export STEPS = packages vhost-device-vsock programs fetch base unpack install image lab-programs boot
demo: lab
	@$(STEP) lab-programs "the lab's programs" cargo build --locked --release -p boot-lab --bin demo
	@. tests/steps; step_title boot "the boot"; echo
	@$(LAB_ENV) cargo run --quiet --locked --release -p boot-lab --bin demo -- $(CONFIG)

# Two parts at a time, since most of them wait or keep only one processor busy. Then the guests, which need all of it.
test: deps
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line parts
	@$(MAKE) --no-print-directory guests
	@echo "make test: everything passed"

parts: lint unit network vsock-net bare build-glibc boot-parts disks fuzz-smoke

# The quick loop. It needs no packages, no root and no guest. Tests that check owners run in a user namespace.
check:
	cargo fmt --all --check
	cargo clippy --quiet --locked --all-targets --workspace -- -D warnings
	cargo check --quiet --locked --features failpoints --test crash
	cargo test --quiet --locked
	cargo test --quiet --locked -p glowplug-fetch --lib

# Everything that needs no guest, in a Debian 13 with its own Rust and nothing else.
bare: deps
	tests/bare $(OUT)/bare "make --no-print-directory WITHOUT_DRACUT=1 deps check-packages lint-code && tests/libc $(CPU) | grep -x debian-musl"

# The two commands of README on a new Debian 13, from nothing. They take an hour or more.
fresh: deps-lab
	tests/fresh $(OUT)/fresh

unit: deps
	cargo test --quiet --locked
	cargo test --quiet --locked --test disks
	cargo test --quiet --locked --features failpoints --test crash
	tests/moto $(OUT)/moto
	tests/oci $(OUT)/oci-small
	cargo test --quiet --locked -p glowplug-fetch
	! cargo build --quiet --locked --release --features failpoints 2>$(OUT)/failpoints.log
	grep -q "a release build must not have it" $(OUT)/failpoints.log
	tests/check-builds $(OUT)/check-builds

# The network of the initramfs, in network namespaces: without a guest.
network: deps build
	tests/network $(BIN)/glowplug-network

# The network over vsock with the real gvproxy, in network namespaces: without a guest. With NAME=WORD only those cases whose
# names contain WORD.
vsock-net: deps build gvproxy
	tests/vsock-net $(BIN)/glowplug-vsock-net $(OUT)/gvproxy $(NAME)

# What becomes of disks, in User Mode Linux. With NAME=WORD only those cases whose names contain WORD.
disks: deps build
	@tests/disks/prepare $(OUT)/disks
	@tests/disks/run $(BIN)/glowplug $(OUT)/disks $(NAME)

# The same machines, stopped before each step that changes disks or the root, and started again without their host.
disks-crash: deps
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --locked --features failpoints \
		--target $(CPU)-unknown-linux-gnu --bin glowplug
	@tests/disks/prepare $(OUT)/disks
	@tests/disks/crash $(OUT)/$(CPU)-unknown-linux-gnu/debug/glowplug $(OUT)/disks $(NAME)

# The same configs through the stages of the reference, whose program is REFERENCE, and through ours.
disks-beside: deps build
	@tests/disks/prepare $(OUT)/disks
	@tests/disks/beside $(REFERENCE) $(BIN)/glowplug $(OUT)/disks $(NAME)

lint: lint-code lint-crates

lint-code: deps
	cargo fmt --all --check
	cargo clippy --quiet --locked --all-targets --workspace -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --workspace --document-private-items
	$(CHECK_ARM64_$(LIBC))
	cd fuzz && cargo fmt --check
	cd fuzz && cargo clippy --quiet --locked --target $(CPU)-unknown-linux-gnu --target-dir $(OUT)/fuzz/build -- -D warnings
	shellcheck -s dash -e SC1091 $(SCRIPTS)
	shfmt -i 4 -d $(SCRIPTS)
	for page in man/*.8 network/man/*.8 podman-machine/man/*.8; do tests/lint-man "$$page" || exit 1; done
	tests/check-steps

lint-crates: deps
	@$(DEPS) build cargo-deny
	@tests/lint-crates $(OUT)/log

boot: boot-parts
	@$(MAKE) --no-print-directory guests

# What the guests start from, and what can be seen of it without a boot.
boot-parts: generators lifecycle first-boot check-packages lintian offline machine-lab image

generators: lab
	chroot $(LAB)/root systemd-analyze verify --man=no glowplug-ready.service \
		glowplug-agent.socket glowplug-agent.service glowplug-agent-console.timer
	tests/boot/generators $(DEB) $(LAB)/root $(OUT)/generators

lifecycle: lab
	tests/boot/lifecycle $(LAB)/base-*.tar $(OUT)/lifecycle $(DEB) $(NETWORK_DEB) $(DISKS_DEB)

first-boot: lab
	tests/boot/first-boot $(BIN)/glowplug $(LAB)/root

offline: machine-lab
	tests/boot/machine/offline $(MACHINE_LAB)/root

# The guests of labs that are there (`boot` makes them).
guests:
	$(LAB_ENV) cargo test --quiet --locked --release -p boot-lab --lib --test guests -- --test-threads=2

# The tests of guests that have NAME in their names: make boot-one NAME=agent::
boot-one: deps lab machine-lab
	$(LAB_ENV) cargo test --quiet --locked --release -p boot-lab --test guests -- --nocapture $(NAME)

# The guests that are not part of `make test`, because each takes its minutes and resembles one that is. With NAME=WORD only
# those whose names contain WORD: make boot-more NAME=network::
boot-more: deps lab machine-lab image
	$(LAB_ENV) cargo test --quiet --locked --release -p boot-lab --test guests -- --ignored --nocapture --skip arm64 $(NAME)

# N power cuts of a guest, and podman's config stopped at every call and at every call of the next start. CUTS_SEED=N in
# the environment repeats the cuts of an earlier run.
crash: deps lab
	CRASH_ALL=1 cargo test --quiet --locked --features failpoints --test crash
	CUTS=$(N) $(LAB_ENV) cargo test --quiet --locked --release -p boot-lab --test guests -- cuts:: --nocapture

# With FUZZ_SEED=N in the environment libFuzzer makes the same choices each time.
fuzz: deps
	fuzz/run $(OUT)/fuzz $(SECONDS) $(TARGETS)

fuzz-smoke: deps
	fuzz/run $(OUT)/fuzz 5

# TARGET is a fuzz target here: make fuzz-one TARGET=json INPUT=FILE
fuzz-one: deps
	fuzz/run $(OUT)/fuzz "$(TARGET)" "$(INPUT)"

bench: deps lab image
	tests/bench-fetch $(BIN)
	tests/bench-cloud-init $(BIN)
	tests/reference $(OUT)/reference
	$(LAB_ENV) cargo run --quiet --locked --release -p boot-lab --bin bench
	$(LAB_ENV) GLOWPLUG_REFERENCE="$(OUT)/reference" \
		cargo run --quiet --locked --release -p boot-lab --bin bench-reference
	$(LAB_ENV) cargo run --quiet --locked --release -p boot-lab --bin bench-boot

fmt:
	cargo fmt --all
	cd fuzz && cargo fmt
	shfmt -i 4 -w $(SCRIPTS)

clean:
	cargo clean
