#!/bin/sh
# Provisions the mounted root where the initramfs has no systemd. On all boots but the first the program finds its
# stamp and leaves.

# dracut does not look at the exit status: a machine that is not what its config says must not start.
# shellcheck disable=SC2154 # NEWROOT is set by dracut
until /usr/bin/glowplug run --root "$NEWROOT"; do
    emergency_shell -n glowplug "glowplug has not provisioned this machine. 'exit' tries again; the kernel
argument ignition.firstboot=0 starts it as it is."
done
