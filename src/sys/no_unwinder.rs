//! Functions in the place of the unwinder. A panic prints its message and aborts, so nothing ever unwinds. The standard library
//! would still link an unwinder and a reader of debug information, a third of the program, for a backtrace that a stripped
//! program cannot show. With these functions neither is linked. glibc does not allow this, because its own cancellation of
//! threads needs the unwinder.

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK` of the Itanium C++ ABI, section 1.3.
const END_OF_STACK: c_int = 5;

// SAFETY: no other function of this name is linked, and the ABI lets a trace end at once.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_: *const c_void, _: *mut c_void) -> c_int {
    END_OF_STACK
}

macro_rules! never_called {
    ($($name:ident)*) => { $(
        // SAFETY: no other function of this name is linked; only an unwinder would call it, and it does not
        // return.
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            std::process::abort()
        }
    )* };
}
// These are all functions of the ABI. Any that were missing would link the unwinder, which defines the others again.
never_called! {
    _Unwind_DeleteException _Unwind_FindEnclosingFunction _Unwind_ForcedUnwind _Unwind_GetCFA
    _Unwind_GetDataRelBase _Unwind_GetGR _Unwind_GetIP _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart _Unwind_GetTextRelBase _Unwind_RaiseException _Unwind_Resume
    _Unwind_Resume_or_Rethrow _Unwind_SetGR _Unwind_SetIP
}
