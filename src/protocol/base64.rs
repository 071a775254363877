//! Base64 of payloads: every one of them is encoded and decoded once on its way.
//!
//! With the processor's vector instructions, where it has some that the library
//! knows.

use std::sync::LazyLock;

use ::base64::engine::general_purpose::PAD;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Engine = ::base64::engine::GeneralPurpose;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Engine = ::base64::engine::Simd;

/// Standard base64 as the predecessor took it: padded, and not minding what
/// the last character's unused bits say.
pub(super) static PAYLOAD: LazyLock<Engine> = LazyLock::new(|| {
    let config = PAD.with_decode_allow_trailing_bits(true);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Engine::new(&::base64::alphabet::STANDARD, config);
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    Engine::standard(config)
});
