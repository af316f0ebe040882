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
CONFIG := tests/boot/configs/6.0-applehv-default.ign
export PATH := $(TOOLS):$(PATH)

CPU_amd64 = x86_64
CPU_arm64 = aarch64
CPU = $(or $(CPU_$(ARCH)),$(error ARCH=$(ARCH): amd64 or arm64))

# musl where its standard library is installed, else static glibc.
SYSROOT = $(shell rustc --print sysroot)
HAS_MUSL = $(wildcard $(SYSROOT)/lib/rustlib/$(CPU)-unknown-linux-musl/lib)
TARGET = $(CPU)-unknown-linux-$(if $(HAS_MUSL),musl,gnu)
CARGO_HOME_PATH = $(or $(CARGO_HOME),$(HOME)/.cargo)
# The same source gives the same bytes, wherever it lies.
REMAP = --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(CARGO_HOME_PATH)=cargo
# httparse needs no vector instructions for one answer: 1.5 KB less of the initramfs.
FLAGS = $(REMAP) -C target-feature=+crt-static $(FLAGS_$(ARCH))
# Rust's own linker, since there may be no compiler for arm64.
FLAGS_arm64 = -C linker=rust-lld -C linker-flavor=ld.lld
RELEASE = CARGO_CFG_HTTPARSE_DISABLE_SIMD=1 RUSTFLAGS="$(FLAGS)" cargo build --release --locked --bins
BIN = $(OUT)/$(TARGET)/release
DEB = $(OUT)/deb/glowplug-$(ARCH).deb
MACHINE_DEB = $(OUT)/deb/glowplug-podman-machine.deb
VERSION = $(shell sed -n '1s/.*(\(.*\)).*/\1/p' podman-machine/debian/changelog)

SCRIPTS = initramfs-tools/hooks/glowplug initramfs-tools/scripts/init-bottom/glowplug \
	dracut/50glowplug/module-setup.sh dracut/50glowplug/glowplug-emergency.sh dracut/50glowplug/glowplug-pre-pivot.sh \
	tests/deps tests/runner tests/msrv tests/lint-man tests/reference tests/boot/prepare tests/boot/debian tests/boot/image-setup \
	tests/boot/hosts-in-guest tests/boot/forwarder tests/boot/machine/checks fuzz/run image/build debian/deb debian/pack podman-machine/deb \
	docs/examples/vsock-connect tests/podman/run tests/podman/client tests/podman/qemu-system-x86_64 \
	debian/glowplug.postinst debian/glowplug.prerm debian/glowplug.postrm \
	podman-machine/debian/postinst podman-machine/debian/postrm $(wildcard podman-machine/root/usr/libexec/*/*) \
	podman-machine/root/usr/sbin/update-ca-trust \
	podman-machine/root/usr/lib/systemd/system-generators/glowplug-podman-machine-shares \
	podman-machine/root/usr/share/initramfs-tools/hooks/glowplug-podman-machine
# What the lab's programs are told.
LAB_ENV = GLOWPLUG_LAB="$(LAB)" GLOWPLUG_MACHINE_LAB="$(MACHINE_LAB)" \
	GLOWPLUG_BIN="$(BIN)/glowplug" GLOWPLUG_IMAGES="$(IMAGES)"
# What making and starting an image for another architecture needs.
PACKAGES_arm64 = qemu-user-static qemu-system-arm qemu-efi-aarch64
# How long each fuzz target runs, and which ones if not all.
SECONDS = 60
# How many power cuts `make crash` makes.
N = 50
TARGETS =

.PHONY: all build build-glibc deps deb lab machine-lab image image-test test-podman demo test check unit lint msrv boot boot-one bench crash fuzz fuzz-smoke fuzz-one fmt clean

all: build

build:
	$(RELEASE) --target $(TARGET)

# The build for machines without the musl target must not rot where there is one.
build-glibc:
	$(RELEASE) --target $(CPU)-unknown-linux-gnu
	$(OUT)/$(CPU)-unknown-linux-gnu/release/glowplug --version
	$(OUT)/$(CPU)-unknown-linux-gnu/release/glowplug-ready --version

deps:
	CPU=$(CPU) PACKAGES="$(PACKAGES_$(ARCH))" tests/deps $(OUT)/tools vhost-device-vsock

# A make of its own: which target there is shows only after deps.
deb: deps
	$(MAKE) $(DEB) $(MACHINE_DEB)

# A file target, so that the lab is made anew only when the package has changed.
$(DEB): build
	mkdir -p $(OUT)/deb
	debian/deb $(BIN) $(ARCH) $(OUT)/deb/new.deb
	cmp -s $(OUT)/deb/new.deb $@ || mv $(OUT)/deb/new.deb $@
	rm -f $(OUT)/deb/new.deb
	cp $@ $(OUT)/deb/$$(dpkg-deb -f $@ Package)_$$(dpkg-deb -f $@ Version)_$$(dpkg-deb -f $@ Architecture).deb

# Files only, which change seldom: made anew each time, the same bytes from the same source.
.PHONY: $(MACHINE_DEB)
$(MACHINE_DEB):
	mkdir -p $(OUT)/deb
	podman-machine/deb $(VERSION) $@
	cp $@ $(OUT)/deb/glowplug-podman-machine_$(VERSION)_all.deb

lab: deb
	tests/boot/prepare $(DEB) $(LAB)

# The guest of the podman machine, with podman and all else that the layer depends on.
machine-lab: deb
	tests/boot/prepare $(DEB) $(MACHINE_LAB) $(MACHINE_DEB)

image: deb
	image/build $(ARCH) $(IMAGES) $(DEB) $(MACHINE_DEB)

image-test: image
	$(LAB_ENV) cargo test --quiet --locked --release -p boot-lab --test guests -- --include-ignored image::$(ARCH)

# The real client: Debian's podman, as an ordinary user, makes a machine of the image and works with it.
test-podman: image
	tests/podman/run $(IMAGES)/debian-amd64.qcow2 $(OUT)/podman

demo: lab
	$(LAB_ENV) cargo run --quiet --locked --release -p boot-lab --bin demo -- $(CONFIG)

test: lint unit fuzz-smoke build-glibc msrv boot
	@echo "make test: everything passed"

# The quick loop: no packages, no root, no guest. An ordinary user gets a user namespace for what checks owners.
check:
	cargo fmt --all --check
	cargo clippy --quiet --locked --all-targets --workspace -- -D warnings
	cargo test --quiet --locked

# Debian 13's own Rust, and static glibc with it.
msrv: deps
	tests/msrv $(OUT)/msrv

unit: deps
	cargo test --quiet --locked
	cargo test --quiet --locked --features failpoints --test crash
	! cargo build --quiet --locked --release --features failpoints 2>$(OUT)/failpoints.log
	grep -q "a release build must not have it" $(OUT)/failpoints.log

lint: deps
	tests/deps $(OUT)/tools cargo-deny
	cargo fmt --all --check
	cargo clippy --quiet --locked --all-targets --workspace -- -D warnings
	cd fuzz && cargo fmt --check
	cd fuzz && cargo clippy --quiet --locked --target $(CPU)-unknown-linux-gnu --target-dir $(OUT)/fuzz/build -- -D warnings
	shellcheck -s dash -e SC1091 $(SCRIPTS)
	shfmt -i 4 -d $(SCRIPTS)
	# It looks at what other systems would need as well.
	cargo fetch --quiet --locked
	cargo deny --offline check --hide-inclusion-graph bans licenses sources
	for page in man/*.8; do tests/lint-man "$$page" || exit 1; done

boot: lab machine-lab image
	lintian --fail-on error,warning $(DEB) $(MACHINE_DEB)
	chroot $(LAB)/root systemd-analyze verify --man=no glowplug-ready.service \
		glowplug-agent.socket glowplug-agent@0.service glowplug-agent-console.timer
	$(LAB_ENV) cargo test --quiet --locked --release -p boot-lab --lib --test guests -- --test-threads=2

# The tests of guests that have NAME in their names: make boot-one NAME=agent::
boot-one: lab machine-lab
	$(LAB_ENV) cargo test --quiet --locked --release -p boot-lab --test guests -- --nocapture $(NAME)

# N power cuts of a guest, and podman's config stopped at every call and at every call of the next start. CUTS_SEED=N in
# the environment repeats the cuts of an earlier run.
crash: lab
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

bench: lab
	tests/reference $(OUT)/reference
	$(LAB_ENV) cargo run --quiet --locked --release -p boot-lab --bin bench
	$(LAB_ENV) GLOWPLUG_REFERENCE="$(OUT)/reference" \
		cargo run --quiet --locked --release -p boot-lab --bin bench-reference

fmt:
	cargo fmt --all
	cd fuzz && cargo fmt
	shfmt -i 4 -w $(SCRIPTS)

clean:
	cargo clean
