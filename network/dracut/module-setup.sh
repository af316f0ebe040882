#!/bin/sh
# Puts what glowplug needs to fetch from a network into the initramfs. dracut's shell sources this file.

check() {
    # Include this module only where a configuration asks for it. /usr/lib/dracut/dracut.conf.d/51-glowplug-network.conf
    # does.
    return 255
}

depends() {
    echo glowplug
}

installkernel() {
    # hostonly is empty, since the machine that makes an image is not the one that will be provisioned. DHCP needs raw
    # packets, and TLS needs random numbers soon after the start.
    # shellcheck disable=SC2034 # instmods looks at it
    hostonly='' instmods af_packet virtio_rng virtio_net xen-netfront '=drivers/net/ethernet' '=drivers/net/hyperv' \
        '=drivers/net/vmxnet3' '=drivers/net/phy' '=drivers/net/mdio'
}

# shellcheck disable=SC2154 # dracut sets the variables
install() {
    # dracut ignores what this function returns, so it exits. An initramfs without these files could not fetch.
    inst_binary /usr/bin/glowplug-fetch || exit 1
    inst_binary /usr/bin/glowplug-network || exit 1
    # dracut does not find klibc by itself.
    inst_simple /usr/lib/klibc/bin/ipconfig || exit 1
    for library in /usr/lib/klibc-*.so; do
        inst_simple "$library" || exit 1
    done
    inst_simple /etc/ssl/certs/ca-certificates.crt || exit 1
    # So that an interface has the same name here as in the real root, and ip= can use it.
    inst_rules 75-net-description.rules 80-net-setup-link.rules
    inst_multiple -o /usr/lib/systemd/network/99-default.link
}
