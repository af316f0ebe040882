#!/bin/sh
# Provisions the mounted root at the first boot, in an initramfs without systemd. At later boots the program finds its
# stamp and leaves.

# dracut ignores the exit status. So this loop keeps the boot here: a machine that is not what its config says must
# not start.
# shellcheck disable=SC2154 # NEWROOT is set by dracut
until /usr/bin/glowplug run --root "$NEWROOT"; do
    emergency_shell -n glowplug "glowplug has not provisioned this machine. 'exit' tries again; the kernel
argument ignition.firstboot=0 starts it as it is."
done
