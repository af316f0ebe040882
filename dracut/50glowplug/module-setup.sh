#!/bin/sh
# Puts glowplug, and the modules by which it reaches the host, into the initramfs. dracut's shell sources this file.

check() {
    # Include this module only where a configuration asks for it. /usr/lib/dracut/dracut.conf.d/50-glowplug.conf does.
    return 255
}

installkernel() {
    # hostonly is empty, since the machine that makes an image is not the one that will be provisioned.
    # shellcheck disable=SC2034 # instmods looks at it
    hostonly='' instmods vmw_vsock_virtio_transport qemu_fw_cfg hv_utils
}

# shellcheck disable=SC2154 # dracut sets the variables
install() {
    # dracut ignores what this function returns, so it exits. An initramfs without glowplug would start machines that
    # are not what their config says.
    inst_binary /usr/bin/glowplug || exit 1
    if ! dracut_module_included systemd-initrd; then
        # After 50, where 98usrmount mounts /usr.
        inst_hook pre-pivot 60 "$moddir/glowplug-pre-pivot.sh"
        return
    fi
    inst_simple "$moddir/glowplug.service" "$systemdsystemunitdir/glowplug.service" || exit 1
    $SYSTEMCTL -q --root "$initdir" add-requires initrd.target glowplug.service || exit 1
    inst_hook emergency 50 "$moddir/glowplug-emergency.sh"
}
