//! The guest: QEMU without KVM, its vsock device, and ssh into it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::console::{Console, OnLine};
use crate::error::{Doing, Error, Result};
use crate::firmware::{self, Firmware};
use crate::key::Key;
use crate::lab::{Lab, Scratch};
use crate::network::{INTERFACE, Network};
use crate::process::{Running, run, run_ok, wait_for};
use crate::ready::{Line, Ready};
use crate::tang;
use crate::writes::SECTOR;

/// How long a boot may take. It takes some 20 s on an idle machine, but minutes at a load of ten.
pub const BOOT: Duration = Duration::from_secs(300);

const SSH: Duration = Duration::from_secs(90);

/// How a guest is booted.
#[allow(clippy::struct_excessive_bools, reason = "devices that it has or has not")]
pub struct Options {
    /// Memory in MiB.
    pub memory: u32,
    /// A file that QEMU serves as `opt/com.coreos/config` of `fw_cfg`, as podman starts QEMU.
    pub fw_cfg: Option<PathBuf>,
    /// Whether there is a virtio serial port for the ready signal, as with podman's QEMU.
    pub ready_port: bool,
    /// A vsock device whose host is the machine's folder.
    pub vsock: bool,
    /// A place on the vsock device for a neighbour.
    pub with_neighbour: bool,
    /// The place on the device of another machine's guest, whose neighbour this guest is.
    pub neighbour_of: Option<PathBuf>,
    /// Folders of the host that the guest can mount by virtiofs, by their tags.
    pub shares: Vec<(String, PathBuf)>,
    /// gvproxy's addresses, with a stand-in for its API.
    pub gvproxy: bool,
    /// A network with real servers, in the place of QEMU's own. Nobody can log in by ssh then.
    pub network: Option<Arc<Network>>,
    /// The time that the guest's clock shows at the start, as `2001-01-01T00:00:00`.
    pub clock: Option<&'static str>,
    /// Kernel arguments besides those that every boot has.
    pub arguments: Vec<String>,
    /// A virtio console beside the serial one.
    pub second_console: bool,
    /// An initramfs to use instead of the lab's.
    pub initrd: Option<PathBuf>,
    /// The firmware that starts the kernel. The disk then decides the kernel arguments and the initramfs.
    pub firmware: Option<Firmware>,
    /// Keep the emergency shell instead of ending at a panic.
    pub rescue: bool,
    /// A file in which every write to the disk is logged: see [`crate::writes`].
    pub write_log: Option<PathBuf>,
    /// Further disks, from `/dev/vdb` on. Each has the name of its file as its serial number.
    pub disks: Vec<PathBuf>,
    /// A TPM 2.0, which keeps its state over the machine's boots.
    pub tpm: bool,
    /// The keys of a tang server in QEMU's own network: see [`tang::ADDRESS`].
    pub tang: Option<tang::Keys>,
    /// Whether the guest's clock counts instructions while the guest works: one takes a nanosecond. So its times do not depend on
    /// the host.
    pub counts_instructions: bool,
    /// Called with each line of the console.
    pub on_line: Option<OnLine>,
}

impl Options {
    /// Options as podman uses them on macOS: vsock and nothing else.
    pub fn vsock() -> Self {
        Self {
            memory: 1024,
            fw_cfg: None,
            ready_port: false,
            vsock: true,
            with_neighbour: false,
            neighbour_of: None,
            shares: Vec::new(),
            gvproxy: false,
            network: None,
            clock: None,
            arguments: Vec::new(),
            second_console: false,
            initrd: None,
            firmware: None,
            rescue: false,
            write_log: None,
            disks: Vec::new(),
            tpm: false,
            tang: None,
            counts_instructions: false,
            on_line: None,
        }
    }

    /// Options as podman uses them on Linux: the config in `fw_cfg`, the ready signal by a serial port, no vsock.
    pub fn qemu(config: PathBuf) -> Self {
        Self { fw_cfg: Some(config), ready_port: true, vsock: false, ..Self::vsock() }
    }
}

/// A machine: a disk of its own that keeps its state over boots, a folder for
/// its sockets, and a key to log in with.
pub struct Machine {
    lab: Lab,
    folder: Scratch,
    /// The key that [`Key::put_into`] puts into configs for this machine.
    pub key: Key,
}

impl Machine {
    /// Makes a machine with a copy of the lab's root.
    ///
    /// # Errors
    /// When the disk cannot be copied or the key not be made.
    pub fn new(lab: &Lab) -> Result<Self> {
        Self::with_disk(lab, "root.img")
    }

    /// Makes a machine with a copy of another disk of the lab's folder.
    ///
    /// # Errors
    /// As [`Machine::new`].
    pub fn with_disk(lab: &Lab, disk: &str) -> Result<Self> {
        let folder = Scratch::new()?;
        let key = Key::make(folder.path())?;
        let machine = Self { lab: lab.clone(), folder, key };
        machine.reset(disk)?;
        Ok(machine)
    }

    /// Replaces the disk by a copy of another one in the lab's folder.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn reset(&self, disk: &str) -> Result<()> {
        let mut copy = Command::new("cp");
        copy.args(["--reflink=auto", "--sparse=always"]).arg(self.lab.part(disk));
        run_ok(copy.arg(self.disk()), SSH).map(drop)
    }

    /// Returns the folder where the host's sockets belong: `v_1024`, `v_1025`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of the disk. Read it only while no guest runs.
    pub fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// Makes an empty disk of `mebibytes`, for [`Options::disks`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn blank_disk(&self, name: &str, mebibytes: u64) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let file = fs::File::create_new(&path).doing_to("make", &path)?;
        file.set_len(mebibytes << 20).doing_to("size", &path)?;
        Ok(path)
    }

    /// Returns the path of the socket of the ready port, if there is one.
    pub fn ready_socket(&self) -> PathBuf {
        self.folder.join("ready")
    }

    /// Returns the path of the socket for a neighbour of the guest: see [`Options::neighbour_of`].
    pub fn neighbour_socket(&self) -> PathBuf {
        self.folder.join("vhost4")
    }

    /// Returns the path of the log of all requests to gvproxy's API.
    pub fn forwarder_log(&self) -> PathBuf {
        self.folder.join("forwarder")
    }

    /// Returns the text of the second console of the last guest.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn second_console(&self) -> Result<String> {
        let path = self.folder.join("hvc0");
        let bytes = fs::read(&path).doing_to("read", &path)?;
        Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
    }

    /// Writes `config` to a file that [`Options::qemu`] can serve.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn config_file(&self, config: &str) -> Result<PathBuf> {
        let path = self.folder.join("config.ign");
        fs::write(&path, config).doing_to("write", &path)?;
        Ok(path)
    }

    /// Starts the guest. The host's listeners must exist already.
    ///
    /// # Errors
    /// When QEMU or the vsock device cannot be started.
    pub fn boot(&self, mut options: Options) -> Result<Guest> {
        let device = options.vsock.then(|| self.vsock_device(options.with_neighbour)).transpose()?;
        let shares = options.shares.iter().enumerate();
        let shares = shares.map(|(number, (_, folder))| self.share_device(number, folder));
        let shares: Vec<Running> = shares.collect::<Result<_>>()?;
        let tpm = options.tpm.then(|| self.tpm_device()).transpose()?;
        let _ = fs::remove_file(self.ready_socket());
        let port = free_port()?;
        let log = self.folder.join("qemu.log");
        let arguments = self.qemu_arguments(&options, port);
        let begin = Instant::now();
        let emulator = self.lab.tool(firmware::emulator(options.firmware));
        let mut qemu = match &options.network {
            None => Running::start(&emulator, &arguments, &log)?,
            Some(network) => {
                let inside =
                    [format!("--net={}", network.namespace().display()), emulator.display().to_string()];
                Running::start(Path::new("nsenter"), &[&inside[..], &arguments].concat(), &log)?
            }
        };
        let stdout = qemu.stdout().ok_or_else(|| Error::new("QEMU has no standard output"))?;
        let console = Console::read(stdout, begin, options.on_line.take());
        Ok(Guest {
            begin,
            console,
            qemu,
            device,
            _shares: shares,
            _tpm: tpm,
            _network: options.network.take(),
            port,
            key: self.key.file.clone(),
            log,
        })
    }

    /// Starts the process of the vsock device. It ends with its guest, so each boot needs a new one.
    fn vsock_device(&self, with_neighbour: bool) -> Result<Running> {
        let mut guests = vec![(3, self.folder.join("vhost"), self.folder.join("v"))];
        if with_neighbour {
            guests.push((4, self.neighbour_socket(), self.folder.join("w")));
        }
        let mut arguments = Vec::new();
        for (cid, socket, base) in &guests {
            for left in [socket, base] {
                let _ = fs::remove_file(left);
            }
            let guest = format!("guest-cid={cid},socket={},uds-path={}", socket.display(), base.display());
            arguments.extend(["--vm".to_owned(), guest]);
        }
        let log = self.folder.join("vsock.log");
        let program = self.lab.tool("vhost-device-vsock");
        let mut device = Running::start(&program, &arguments, &log)?;
        for (_, socket, _) in &guests {
            device = with_socket(device, &program, socket, &log)?;
        }
        Ok(device)
    }

    /// Starts the process of a share's device, one for each share and boot.
    fn share_device(&self, number: usize, folder: &Path) -> Result<Running> {
        let socket = self.folder.join(&format!("share{number}"));
        let _ = fs::remove_file(&socket);
        let log = self.folder.join(&format!("share{number}.log"));
        // At this path QEMU 7 has its own virtiofsd, and later systems have a link to the new one.
        let program = Path::new("/usr/lib/qemu/virtiofsd");
        let socket_path = format!("--socket-path={}", socket.display());
        let source = format!("source={},sandbox=chroot", folder.display());
        let device = Running::start(program, &[socket_path, "-o".to_owned(), source], &log)?;
        with_socket(device, program, &socket, &log)
    }

    /// Starts the process of the TPM. It ends with its guest. Its state stays in the machine's folder.
    fn tpm_device(&self) -> Result<Running> {
        let socket = self.folder.join("tpm");
        let state = self.folder.join("tpm-state");
        let _ = fs::remove_file(&socket);
        fs::create_dir_all(&state).doing_to("make the folder", &state)?;
        let mut arguments = ["-n", "-20", "swtpm", "socket", "--tpm2"].map(str::to_owned).to_vec();
        arguments.push(format!("--ctrl=type=unixio,path={}", socket.display()));
        arguments.push(format!("--tpmstate=dir={}", state.display()));
        let log = self.folder.join("tpm.log");
        // Linux waits only 0.75 s for some answers of a TPM. Without the right to set the priority, nice just runs the program.
        let device = Running::start(Path::new("nice"), &arguments, &log)?;
        with_socket(device, Path::new("swtpm"), &socket, &log)
    }

    /// Returns QEMU's option for the network: its own one with `port` for ssh, or the real one.
    fn network(&self, options: &Options, port: u16) -> String {
        if options.network.is_some() {
            return INTERFACE.to_owned();
        }
        let mut network = format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22");
        if options.gvproxy {
            let forwarder = Path::new(env!("CARGO_MANIFEST_DIR")).join("forwarder");
            network = format!(
                "{network},net=192.168.127.0/24,dhcpstart=192.168.127.2,host=192.168.127.254,dns=192.168.127.253,\
                 guestfwd=tcp:192.168.127.1:80-cmd:{} {}",
                forwarder.display(),
                self.forwarder_log().display()
            );
        }
        if let Some(keys) = &options.tang {
            network = format!("{network},{}", keys.forward());
        }
        network
    }

    fn qemu_arguments(&self, options: &Options, port: u16) -> Vec<String> {
        let lab = |name: &str| self.lab.part(name).display().to_string();
        let here = |name: &str| self.folder.join(name).display().to_string();
        let mut kernel = vec!["console=ttyS0", "root=/dev/vda", "ro"];
        if options.second_console {
            // The shell runs on the console that is named last.
            kernel.insert(0, "console=hvc0");
        }
        if !options.rescue {
            // initramfs-tools knows the first argument, dracut the second.
            kernel.extend(["panic=-1", "rd.shell=0"]);
        }
        kernel.extend(options.arguments.iter().map(String::as_str));
        let initrd = options.initrd.as_ref().map_or_else(|| lab("initrd.img"), |p| p.display().to_string());
        let memory = options.memory;
        let mut all: Vec<String> = [
            "-accel",
            "tcg",
            "-smp",
            "1",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-device",
            "virtio-rng-pci",
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
            "-device",
            "virtio-net-pci,netdev=net,romfile=",
        ]
        .map(str::to_owned)
        .into();
        all.extend(firmware::machine(options.firmware));
        let mut add = |option: &str, value: String| all.extend([option.to_owned(), value]);
        add("-m", memory.to_string());
        add("-object", format!("memory-backend-memfd,id=mem0,size={memory}M,share=on"));
        if options.counts_instructions {
            add("-icount", "shift=0".to_owned());
        }
        if options.firmware.is_none() {
            add("-kernel", lab("vmlinuz"));
            add("-initrd", initrd);
            add("-append", kernel.join(" "));
        }
        match &options.write_log {
            None => add("-drive", format!("id=root,if=none,format=raw,cache=unsafe,file={}", here("disk"))),
            Some(log) => {
                let file = format!("file.driver=file,file.filename={}", here("disk"));
                let log = format!("log.driver=file,log.filename={},log-sector-size={SECTOR}", log.display());
                add("-blockdev", format!("driver=blklogwrites,node-name=root,{file},{log}"));
            }
        }
        add("-device", "virtio-blk-pci,drive=root".to_owned());
        for (number, disk) in options.disks.iter().enumerate() {
            let serial = Path::new(disk.file_name().unwrap_or_default()).display();
            add("-drive", format!("id=disk{number},if=none,format=raw,cache=unsafe,file={}", disk.display()));
            add("-device", format!("virtio-blk-pci,drive=disk{number},serial={serial}"));
        }
        add("-netdev", self.network(options, port));
        if let Some(clock) = options.clock {
            add("-rtc", format!("base={clock}"));
        }
        let own = options.vsock.then(|| self.folder.join("vhost"));
        if let Some(socket) = options.neighbour_of.as_ref().or(own.as_ref()) {
            add("-chardev", format!("socket,id=vsock,path={}", socket.display()));
            add("-device", "vhost-user-vsock-pci,chardev=vsock".to_owned());
        }
        if let Some(file) = &options.fw_cfg {
            add("-fw_cfg", format!("name=opt/com.coreos/config,file={}", file.display()));
        }
        if options.tpm {
            add("-chardev", format!("socket,id=tpm,path={}", here("tpm")));
            add("-tpmdev", "emulator,id=tpm,chardev=tpm".to_owned());
            add("-device", "tpm-tis,tpmdev=tpm".to_owned());
        }
        for (number, (tag, _)) in options.shares.iter().enumerate() {
            add("-chardev", format!("socket,id=share{number},path={}", here(&format!("share{number}"))));
            add("-device", format!("vhost-user-fs-pci,chardev=share{number},tag={tag}"));
        }
        if options.ready_port || options.second_console {
            add("-device", "virtio-serial".to_owned());
        }
        if options.second_console {
            add("-chardev", format!("file,path={},id=second", here("hvc0")));
            add("-device", "virtconsole,chardev=second".to_owned());
        }
        if options.ready_port {
            add("-chardev", format!("socket,path={},server=on,wait=off,id=ready", here("ready")));
            add("-device", "virtserialport,chardev=ready,name=org.fedoraproject.port.0".to_owned());
        }
        all
    }
}

/// `device`, once it has made its socket.
fn with_socket(mut device: Running, program: &Path, socket: &Path, log: &Path) -> Result<Running> {
    wait_for(Duration::from_secs(20), || (socket.exists() || device.ended().is_some()).then_some(()));
    if socket.exists() {
        return Ok(device);
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    Err(Error::new(format!("{} has made no socket (`make deps` installs it): {text}", program.display())))
}

/// Returns a port on which nothing listens now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").doing("look for a free port")?;
    Ok(listener.local_addr().doing("look for a free port")?.port())
}

/// A booted guest. When this value is dropped, its processes are killed, which is like a power cut.
pub struct Guest {
    /// When QEMU was started.
    pub begin: Instant,
    /// Its console.
    pub console: Console,
    qemu: Running,
    device: Option<Running>,
    _shares: Vec<Running>,
    _tpm: Option<Running>,
    _network: Option<Arc<Network>>,
    port: u16,
    key: PathBuf,
    log: PathBuf,
}

impl Guest {
    /// Returns why this guest cannot go on, if it cannot.
    pub fn over(&mut self) -> Option<&'static str> {
        if self.qemu.ended().is_some() {
            return Some("QEMU has ended");
        }
        self.console.text().contains("Kernel panic").then_some("the kernel has panicked")
    }

    /// Waits for the first line or connection at the host's ready listener.
    ///
    /// # Errors
    /// When nothing comes within `limit`, or the guest ends before that.
    pub fn wait_ready(&mut self, ready: &Ready, limit: Duration) -> Result<Line> {
        let came =
            wait_for(limit, || ready.lines().first().cloned().map(Ok).or_else(|| self.over().map(Err)));
        match came {
            Some(Ok(line)) => Ok(line),
            Some(Err(why)) => Err(self.failed(&format!("{why} before the host got Ready"))),
            None => Err(self.failed(&format!("the host got no Ready in {limit:?}"))),
        }
    }

    /// Returns an error that says what did not happen, and shows the end of the console.
    pub fn failed(&self, what: &str) -> Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Error::new(format!(
            "{what}, {:.1} s after the start; the console ends\n{}\n{log}",
            self.begin.elapsed().as_secs_f32(),
            self.console.tail(40)
        ))
    }

    /// Waits until the console contains `pattern`.
    ///
    /// # Errors
    /// When it does not within `limit`, or QEMU ends before that.
    pub fn wait_console(&self, pattern: &str, limit: Duration) -> Result<()> {
        if self.console.wait(pattern, limit) {
            return Ok(());
        }
        Err(self.failed(&format!("no `{pattern}` on the console in {limit:?}")))
    }

    /// Stops the vsock device for `time`, as if the host were too busy to run it.
    ///
    /// # Errors
    /// When there is no vsock device.
    pub fn stall_vsock(&self, time: Duration) -> Result<()> {
        let device = self.device.as_ref().ok_or_else(|| Error::new("there is no vsock device"))?;
        device.signal("STOP")?;
        std::thread::sleep(time);
        device.signal("CONT")
    }

    /// Types into the console.
    ///
    /// # Errors
    /// When QEMU has ended.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        self.qemu.write(text)
    }

    /// Runs `command` in the guest as `user`, with the machine's key.
    ///
    /// # Errors
    /// When ssh cannot be run or does not end.
    pub fn ssh(&self, user: &str, command: &str) -> Result<Output> {
        self.ssh_with(user, command, b"", SSH)
    }

    /// As [`Guest::ssh`], with `input` for the command and `limit` for the whole.
    ///
    /// # Errors
    /// As there.
    pub fn ssh_with(&self, user: &str, command: &str, input: &[u8], limit: Duration) -> Result<Output> {
        let mut ssh = Command::new("ssh");
        ssh.args(self.ssh_arguments());
        run(ssh.arg(format!("{user}@127.0.0.1")).arg(command), input, limit)
    }

    /// Forwards the guest's unix socket `remote` to `local`, as podman does, until the value ends.
    ///
    /// # Errors
    /// When ssh cannot be started or the socket does not come.
    pub fn forward(&self, user: &str, remote: &str, local: &Path) -> Result<Running> {
        let mut arguments = self.ssh_arguments();
        let forward = format!("{}:{remote}", local.display());
        arguments.extend(["-N", "-L", &forward].map(str::to_owned));
        arguments.push(format!("{user}@127.0.0.1"));
        let program = Path::new("ssh");
        let log = local.with_extension("log");
        with_socket(Running::start(program, &arguments, &log)?, program, local, &log)
    }

    fn ssh_arguments(&self) -> Vec<String> {
        let mut all = ["-F", "/dev/null", "-p"].map(str::to_owned).to_vec();
        all.extend([self.port.to_string(), "-i".to_owned(), self.key.display().to_string()]);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=20",
        ] {
            all.extend(["-o".to_owned(), option.to_owned()]);
        }
        all
    }

    /// As [`Guest::ssh`], with the command's output as text.
    ///
    /// # Errors
    /// Those of `ssh`, and an exit code other than 0.
    pub fn ask(&self, user: &str, command: &str) -> Result<String> {
        self.ask_within(SSH, user, command)
    }

    /// As [`Guest::ask`], for a slow command.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn ask_within(&self, limit: Duration, user: &str, command: &str) -> Result<String> {
        let output = self.ssh_with(user, command, b"", limit)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let error = String::from_utf8_lossy(&output.stderr);
        Err(Error::new(format!("`{command}` as {user}: {}: {text}{error}", output.status)))
    }

    /// Waits until `user` can log in.
    ///
    /// # Errors
    /// When the user cannot log in within `limit`, or the guest ends before that. Also when the guest keeps refusing the
    /// key: accounts exist before sshd starts, so a refused key will not be accepted later.
    pub fn wait_ssh(&mut self, user: &str, limit: Duration) -> Result<()> {
        let mut last = String::from("nothing tried");
        let mut refused = 0;
        let found = wait_for(limit, || {
            if let Some(why) = self.over() {
                return Some(Err(why));
            }
            match self.ask(user, "true") {
                Ok(_) => return Some(Ok(())),
                Err(e) => last = e.to_string(),
            }
            refused += u32::from(last.contains("Permission denied"));
            if refused > 5 {
                return Some(Err("the key was refused"));
            }
            std::thread::sleep(Duration::from_millis(300));
            None
        });
        match found {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(self.failed(&format!("no ssh as {user}: {why}"))),
            None => Err(self.failed(&format!("no ssh as {user} in {limit:?} ({last})"))),
        }
    }

    /// Waits until the guest ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn wait_end(&mut self, limit: Duration) -> Result<()> {
        match self.qemu.wait(limit) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.failed(&format!("the guest has not ended in {limit:?}"))),
        }
    }

    /// Shuts the guest down from inside, and waits until QEMU ends.
    ///
    /// # Errors
    /// When QEMU does not end.
    pub fn shutdown(mut self) -> Result<()> {
        // The connection may end before the command's status has arrived.
        self.ssh("root", "systemctl --no-block poweroff")?;
        if self.qemu.wait(SSH).is_err() {
            return Err(self.failed("the guest did not shut down"));
        }
        Ok(())
    }
}
