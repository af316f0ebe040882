//! The machines that QEMU emulates: which firmware starts the kernel, and on which board and processor.

/// The firmware that starts the kernel, unless QEMU itself does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// `SeaBIOS`, on the board that podman's QEMU has on amd64.
    Bios,
    /// UEFI on amd64.
    Uefi,
    /// UEFI on arm64.
    UefiArm64,
}

/// A processor without cx16, and only one. QEMU 7.2 emulates two processors wrongly in that instruction: one boot in four
/// ends with a double fault in the kernel's allocator. More rarely it fails where the kernel patches its own code, with an
/// unexpected `int3`.
const CPU: &str = "qemu64,-svm,-cx16";

/// Returns the name of the QEMU program for the machine.
pub fn emulator(firmware: Option<Firmware>) -> &'static str {
    match firmware {
        None | Some(Firmware::Bios | Firmware::Uefi) => "qemu-system-x86_64",
        Some(Firmware::UefiArm64) => "qemu-system-aarch64",
    }
}

/// Returns QEMU's arguments for the board with the shared memory `mem0`, the processor, and the firmware's file.
pub fn machine(firmware: Option<Firmware>) -> Vec<String> {
    let (board, cpu, file) = match firmware {
        // Devices that no test needs are left out.
        None => ("q35,sata=off,smbus=off,i8042=off,vmport=off", CPU, None),
        Some(Firmware::Bios) => ("pc", CPU, None),
        Some(Firmware::Uefi) => ("q35", CPU, Some("/usr/share/ovmf/OVMF.fd")),
        Some(Firmware::UefiArm64) => ("virt", "cortex-a72", Some("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd")),
    };
    let board = format!("{board},memory-backend=mem0");
    let mut all = vec!["-M".to_owned(), board, "-cpu".to_owned(), cpu.to_owned()];
    all.extend(file.into_iter().flat_map(|file| ["-bios".to_owned(), file.to_owned()]));
    all
}
