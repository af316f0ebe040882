//! The allocator of the programs. It is smaller and faster than musl's, because Rust tells the size of a block when it frees
//! it, and so no block needs a header.
//!
//! Blocks of up to [`LARGEST`] bytes belong to one of 70 classes by their size, and a class keeps
//! the blocks that were freed for its next ones. Each larger block is a mapping of its own. So a vector that grows
//! moves without a copy, and a block that was large goes back to the kernel.
//!
//! Debug builds do without it, because the threads of the test suites would wait for its lock.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// The largest block that is not a mapping of its own.
const LARGEST: usize = 64 << 10;
/// How much is mapped at once for blocks that are not.
const CHUNK: usize = 256 << 10;
/// Up to this size a class holds each multiple of 16 bytes, and above it each power of two.
const LARGEST_MULTIPLE: usize = 1024;
const CLASSES: usize = 70;
/// What every block is aligned to.
const ALIGN: usize = 16;

/// A freed block, which holds the next one of its class.
type Free = Option<NonNull<Block>>;

/// The start of a freed block.
struct Block {
    next: Free,
}

struct State {
    free: [Free; CLASSES],
    /// The part of the last chunk that no block has had yet, and its length.
    rest: *mut u8,
    left: usize,
}

pub(super) struct Allocator {
    is_locked: AtomicBool,
    state: UnsafeCell<State>,
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    is_locked: AtomicBool::new(false),
    state: UnsafeCell::new(State { free: [None; CLASSES], rest: ptr::null_mut(), left: 0 }),
};

// SAFETY: only the thread that holds the lock touches the state.
unsafe impl Sync for Allocator {}

/// Returns the number of the class for blocks of this layout, and the size of the class. `None` if such a block is a
/// mapping of its own.
fn class_of(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size();
    if size > LARGEST || layout.align() > ALIGN {
        return None;
    }
    if size <= LARGEST_MULTIPLE {
        let number = size.saturating_sub(1) / ALIGN;
        return Some((number, number.wrapping_add(1).wrapping_mul(ALIGN)));
    }
    let rounded = size.next_power_of_two();
    // The class after the 64 multiples of 16 is that of 2^11 bytes.
    Some(((rounded.trailing_zeros() as usize).wrapping_add(64 - 11), rounded))
}

/// Maps `size` bytes of zeros; null if the kernel refuses.
fn map(size: usize, more: MapFlags) -> *mut u8 {
    let flags = MapFlags::PRIVATE | more;
    // SAFETY: a new private mapping that the kernel places aliases nothing.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, flags) };
    start.map_or(ptr::null_mut(), <*mut _>::cast)
}

impl Allocator {
    /// Runs `work` on the state, alone.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        while self.is_locked.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        // SAFETY: this thread holds the lock, so it has the only reference. `work` allocates nothing.
        let done = work(unsafe { &mut *self.state.get() });
        self.is_locked.store(false, Ordering::Release);
        done
    }
}

impl State {
    /// Returns a block of class `number`, whose blocks have `size` bytes; null if the kernel has no memory.
    fn take(&mut self, number: usize, size: usize) -> *mut u8 {
        if let Some(head) = self.free.get_mut(number) {
            if let Some(block) = *head {
                // SAFETY: `give` wrote the next block into this one, and nothing has used it since.
                *head = unsafe { block.read() }.next;
                return block.as_ptr().cast();
            }
        }
        if size > self.left {
            // Work that needs a second chunk soon needs all of it: its pages come at once, which takes less time.
            let at_once = if self.rest.is_null() { MapFlags::empty() } else { MapFlags::POPULATE };
            let chunk = map(CHUNK, at_once);
            if chunk.is_null() {
                return chunk;
            }
            (self.rest, self.left) = (chunk, CHUNK);
        }
        let block = self.rest;
        // SAFETY: `left` bytes follow `rest` in the same mapping, and `size` is no more than that.
        self.rest = unsafe { block.add(size) };
        self.left = self.left.wrapping_sub(size);
        block
    }

    /// Keeps a block of class `number` for the next one who wants it.
    fn give(&mut self, number: usize, block: *mut u8) {
        let Some(head) = self.free.get_mut(number) else { return };
        #[allow(clippy::cast_ptr_alignment, reason = "blocks are aligned to 16 bytes")]
        let Some(block) = NonNull::new(block.cast::<Block>()) else { return };
        // SAFETY: the block is freed, so nothing else uses it. It has 16 bytes at least and is aligned to 16.
        unsafe { block.write(Block { next: *head }) };
        *head = Some(block);
    }
}

// SAFETY: a block is given out once until it is freed: it comes from the fresh part of a chunk, from the list of its
// class, which it leaves then, or from the kernel. A class is never smaller than the layout's size. Chunks and classes
// are multiples of 16 bytes, so blocks are aligned to that. A layout that wants more gets whole pages.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some((number, size)) => self.with(|state| state.take(number, size)),
            None if layout.align() > 4096 => ptr::null_mut(),
            None => map(layout.size(), MapFlags::empty()),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class_of(layout) {
            Some((number, _)) => self.with(|state| state.give(number, block)),
            // SAFETY: `alloc` or `realloc` made this mapping for the same size, and the caller gives it up. A failure
            // would only leave it.
            None => drop(unsafe { munmap(block.cast(), layout.size()) }),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same as for this call.
        let block = unsafe { self.alloc(layout) };
        // A new mapping is zero already.
        if !block.is_null() && class_of(layout).is_some() {
            // SAFETY: the block has this size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is no more than `isize::MAX` when it is rounded up to the
        // alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (class_of(layout), class_of(new)) {
            (Some(old), Some(new)) if old == new => return block,
            (None, None) => {
                // SAFETY: the block is a mapping of its own of the old size, and the caller uses only the new one
                // after this call.
                let moved = unsafe { mremap(block.cast(), layout.size(), new_size, MremapFlags::MAYMOVE) };
                return moved.map_or(ptr::null_mut(), <*mut _>::cast);
            }
            _ => {}
        }
        // SAFETY: the layout is a valid one.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both blocks have this many bytes, and the new one aliases nothing. The caller gives up the old one.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    /// The tests run with the same allocator as the programs.
    #[test]
    fn blocks_are_of_their_own_whatever_their_size() {
        #[repr(align(64))]
        struct Aligned([u8; 64]);

        let work = |seed: usize| {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            let edges = [1023, 1024, 1025, 2048, 2049, 65_535, 65_536, 65_537, 70_000, 1 << 20];
            for length in (1..600).chain(edges) {
                let byte = u8::try_from((length + seed) % 251).unwrap();
                // A freed block is used again, but a new one is zero where that is asked for.
                let mut block = vec![0_u8; length];
                assert!(block.iter().all(|byte| *byte == 0), "{length}");
                block.fill(byte);
                block.extend_from_slice(&vec![byte; length]);
                if length % 3 == 0 {
                    block.truncate(length / 2);
                    block.shrink_to_fit();
                }
                kept.push(block);
                if length % 2 == 0 {
                    kept.swap_remove(length / 2 % kept.len());
                }
                let aligned = Box::new(Aligned([byte; 64]));
                assert_eq!((aligned.0, (&raw const *aligned).addr() % 64), ([byte; 64], 0));
            }
            for block in kept {
                assert!(block.iter().all(|byte| Some(byte) == block.first()));
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || work(seed));
            }
        });
    }
}
