//! What has to be removed before two configs are merged, because the child's entries contradict the parent's.

use super::super::keys::Keys;
use super::super::schema::Duplicates;
use super::super::types::{
    Cex, Clevis, ClevisCustom, Config, Directory, Disk, Dropin, File, Filesystem, Group, HttpHeader,
    Ignition, IgnitionConfig, KernelArguments, Link, Luks, NodeGroup, NodeUser, Partition, Passwd, Proxy,
    Raid, Resource, Security, Storage, Systemd, Tang, Timeouts, Tls, Unit, User, Verification,
};
use super::{Conflicts, Merge};

impl<'a> Config<'a> {
    /// Lays `child` over this config. Both may be of any version: the result is in the newest form.
    pub fn merge_with(&mut self, mut child: Config<'a>) {
        self.merge(&mut child, Duplicates::Refused);
    }
}

/// A path has one kind. If the child makes a file, a directory or a link of it, entries of another kind in the parent
/// are removed.
impl Conflicts for Storage<'_> {
    fn remove_conflicts(&mut self, child: &mut Self) {
        let (directories, files, links) = (&child.directories, &child.files, &child.links);
        let others = Keys::of(&[files, links]);
        self.directories.retain(|directory| !others.has(&directory.path));
        let others = Keys::of(&[directories, links]);
        self.files.retain(|file| !others.has(&file.path));
        let others = Keys::of(&[directories, files]);
        self.links.retain(|link| !others.has(&link.path));
    }
}

/// An argument that the child removes is no longer added by the parent, and the other way round.
impl Conflicts for KernelArguments<'_> {
    fn remove_conflicts(&mut self, child: &mut Self) {
        let unwanted = Keys::of(&[&child.should_not_exist]);
        self.should_exist.retain(|argument| !unwanted.has(argument));
        let wanted = Keys::of(&[&child.should_exist]);
        self.should_not_exist.retain(|argument| !wanted.has(argument));
    }
}

/// A header without a value in the child removes the parent's header of that name, and is removed itself.
impl Conflicts for Resource<'_> {
    fn remove_conflicts(&mut self, child: &mut Self) {
        let has_no_value = |header: &&HttpHeader<'_>| header.value.is_none();
        let names = |headers: &[HttpHeader<'_>]| {
            Keys::new(
                headers.iter().filter(has_no_value).map(|header| header.name.to_string().into()).collect(),
            )
        };
        let unwanted = names(&child.http_headers);
        let own = Keys::new(self.http_headers.iter().map(|header| header.name.to_string().into()).collect());
        self.http_headers.retain(|header| !unwanted.has(&header.name));
        child.http_headers.retain(|header| header.value.is_some() || !own.has(&header.name));
    }
}

/// The types whose fields do not depend on each other.
macro_rules! without_conflicts {
    ($($type:ty),* $(,)?) => { $( impl Conflicts for $type {} )* };
}

without_conflicts! {
    Config<'_>, Ignition<'_>, IgnitionConfig<'_>, Proxy<'_>, Security<'_>, Tls<'_>, Timeouts, HttpHeader<'_>, Verification<'_>, Passwd<'_>, Group<'_>, User<'_>, Directory<'_>, Disk<'_>, Partition<'_>, File<'_>, Filesystem<'_>, Link<'_>, NodeGroup<'_>, NodeUser<'_>, Luks<'_>, Cex, Clevis<'_>, ClevisCustom<'_>, Tang<'_>, Raid<'_>, Systemd<'_>, Unit<'_>, Dropin<'_>,
}
