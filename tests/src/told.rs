use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::sync::Once;

use tracing_subscriber::filter::LevelFilter;

thread_local! {
    static HEARD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What is told to `tracing` on this thread, of all levels, while this lives.
///
/// One subscriber for the whole process stands behind it: with one for each test, what a test told
/// could be lost while another's came or went.
pub struct Told {
    /// Of this thread only.
    _not_send: PhantomData<*const ()>,
}

impl Told {
    /// For tests on one thread: what runs on another is not heard.
    ///
    /// # Panics
    ///
    /// If this process has another subscriber.
    #[must_use]
    pub fn listen() -> Self {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_ansi(false)
                .with_writer(|| Ear)
                .finish();
            tracing::subscriber::set_global_default(subscriber).expect("nobody else installs one");
        });
        HEARD.with_borrow_mut(|heard| *heard = Some(Vec::new()));
        Self { _not_send: PhantomData }
    }

    /// All lines until now.
    #[must_use]
    pub fn text(&self) -> String {
        HEARD.with_borrow(|heard| {
            String::from_utf8_lossy(heard.as_deref().unwrap_or(&[])).into_owned()
        })
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        HEARD.with_borrow_mut(|heard| *heard = None);
    }
}

/// Hears for the thread that tells.
struct Ear;

impl io::Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A thread that ends may still tell something.
        let _ = HEARD.try_with(|heard| {
            if let Some(heard) = &mut *heard.borrow_mut() {
                heard.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
