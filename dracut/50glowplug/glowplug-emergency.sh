#!/bin/sh
# Says what the emergency shell can do, if glowplug is the reason for that shell.
if systemctl --quiet is-failed glowplug.service; then
    warn "glowplug has not provisioned this machine. Leaving the shell, or Enter where"
    warn "there is none, tries again; of the kernel's arguments ignition.firstboot=0"
    warn "starts it as it is, SYSTEMD_SULOGIN_FORCE=1 opens a shell though root is locked."
fi
