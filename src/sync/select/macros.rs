//! The syntax of `select!`. It declares the arms and hands them to [`wait`](super::wait), which
//! decides; then the output of the one that has it meets its pattern and its expression.

/// Waits for the first of several operations and runs its expression.
///
/// ```
/// use cove::sync::mpsc;
/// use std::time::Duration;
///
/// cove::run(|| {
///     let (requests, inbox) = mpsc::channel();
///     let (outbox, replies) = mpsc::sync_channel(1);
///     let server = cove::spawn(move || {
///         let (mut sum, mut quiet) = (0, 0);
///         loop {
///             cove::select! {
///                 recv(inbox) -> number => match number {
///                     Ok(number) => sum += number,
///                     Err(_) => return (sum, quiet),
///                 },
///                 send(outbox, sum) -> sent => sent.unwrap(),
///                 after(Duration::from_secs(10)) => quiet += 1,
///             }
///         }
///     });
///     assert_eq!(replies.recv(), Ok(0));
///     requests.send(2).unwrap();
///     requests.send(3).unwrap();
///     drop(requests);
///     assert_eq!(server.join().unwrap(), (5, 0));
/// });
/// ```
///
/// # Arms
///
/// | arm | is ready when |
/// |---|---|
/// | `recv(receiver) -> pattern => expression` | there is a value, or the other side is gone |
/// | `send(sender, value) -> pattern => expression` | `send` would not wait |
/// | `after(duration) => expression` | so much time has passed since the `select!` began |
/// | `at(instant) => expression` | the time has come |
/// | `default => expression` | no other arm is ready at once |
/// | `default(duration) => expression` | no other arm is ready for so long |
///
/// The pattern is given what `send` or `recv` (for a watch: `changed`) returns.
///
/// Of several arms that are ready one is chosen at random. Patterns must be irrefutable. All
/// expressions have the type of the whole, and may `break`, `return` and use `?`. The value of a
/// `send` is computed only once its arm has been chosen. An arm without a comma after it must have
/// a block for its expression.
///
/// It may be used on a thread without a runtime too, which then blocks.
///
/// # Cancellation
/// While it waits, a cancellation or the end of a [`time::timeout`](crate::time) unwinds out of it;
/// no value is lost thereby.
///
/// ```
/// use cove::sync::mpsc;
///
/// let (tx, rx) = mpsc::channel();
/// let poll = || cove::select! {
///     recv(rx) -> number => number.ok(),
///     default => None,
/// };
/// assert_eq!(poll(), None);
/// tx.send(1).unwrap();
/// assert_eq!(poll(), Some(1));
/// ```
#[macro_export]
macro_rules! select {
    ($($arms:tt)+) => {
        $crate::__select!(@arms [] [] $($arms)+)
    };
}

/// Collects arms as `(name, arm, output, result of the output, pattern, expression)`, then expands.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // An arm whose expression is a block, or ends with a comma, or is the last.
    (@arms $arms:tt $limit:tt
        $kind:ident $arguments:tt -> $pattern:pat => $body:block, $($rest:tt)*
    ) => {
        $crate::__select!(@arm $arms $limit $kind $arguments ($pattern) ($body) $($rest)*)
    };
    (@arms $arms:tt $limit:tt
        $kind:ident $arguments:tt -> $pattern:pat => $body:block $($rest:tt)*
    ) => {
        $crate::__select!(@arm $arms $limit $kind $arguments ($pattern) ($body) $($rest)*)
    };
    (@arms $arms:tt $limit:tt
        $kind:ident $arguments:tt -> $pattern:pat => $body:expr, $($rest:tt)*
    ) => {
        $crate::__select!(@arm $arms $limit $kind $arguments ($pattern) ($body) $($rest)*)
    };
    (@arms $arms:tt $limit:tt
        $kind:ident $arguments:tt -> $pattern:pat => $body:expr
    ) => {
        $crate::__select!(@arm $arms $limit $kind $arguments ($pattern) ($body))
    };
    (@arms $arms:tt $limit:tt default => $($rest:tt)*) => {
        $crate::__select!(@arms $arms $limit default () -> _ => $($rest)*)
    };
    (@arms $arms:tt $limit:tt $kind:ident $arguments:tt => $($rest:tt)*) => {
        $crate::__select!(@arms $arms $limit $kind $arguments -> _ => $($rest)*)
    };

    // One arm more. Each expansion has an `arm` of its own.
    (@arm [$($arms:tt)*] $limit:tt
        recv ($source:expr $(,)?) $pattern:tt $body:tt $($rest:tt)*
    ) => {
        $crate::__select!(@arms [$($arms)*
            { arm output ($crate::sync::select::Waiting::new(&$source)) (output) $pattern $body }
        ] $limit $($rest)*)
    };
    (@arm [$($arms:tt)*] $limit:tt
        send ($sender:expr, $value:expr $(,)?) $pattern:tt $body:tt $($rest:tt)*
    ) => {
        $crate::__select!(@arms [$($arms)*
            { arm output
                ($crate::sync::select::Waiting::new($crate::sync::select::Sends::arm(&$sender)))
                (output.place().send($value)) $pattern $body }
        ] $limit $($rest)*)
    };
    (@arm [$($arms:tt)*] $limit:tt
        after ($duration:expr $(,)?) $pattern:tt $body:tt $($rest:tt)*
    ) => {
        $crate::__select!(@arms [$($arms)*
            { arm output ($crate::sync::select::Timer::after($duration)) (output) $pattern $body }
        ] $limit $($rest)*)
    };
    (@arm [$($arms:tt)*] $limit:tt
        at ($instant:expr $(,)?) $pattern:tt $body:tt $($rest:tt)*
    ) => {
        $crate::__select!(@arms [$($arms)*
            { arm output ($crate::sync::select::Timer::at($instant)) (output) $pattern $body }
        ] $limit $($rest)*)
    };
    (@arm $arms:tt [] default () $pattern:tt ($body:expr) $($rest:tt)*) => {
        $crate::__select!(@arms $arms [
            { $crate::sync::select::Limit::AtOnce } { $body }
        ] $($rest)*)
    };
    (@arm $arms:tt [] default ($duration:expr $(,)?) $pattern:tt ($body:expr) $($rest:tt)*) => {
        $crate::__select!(@arms $arms [
            { $crate::sync::select::Limit::After($duration) } { $body }
        ] $($rest)*)
    };

    // No arm is left.
    (@arms $arms:tt []) => {
        $crate::__select!(@arms $arms [
            { $crate::sync::select::Limit::Unlimited }
            { ::std::unreachable!("a selection without a limit ends with an arm") }
        ])
    };
    (@arms
        [$({ $arm:ident $output:ident
            ($make:expr) ($result:expr) ($pattern:pat) ($body:expr)
        })*]
        [{ $limit:expr } { $default:expr }]
    ) => {
        match ($($make,)*) {
            ($(mut $arm,)*) => {
                $crate::sync::select::wait(
                    &mut [$(&mut $arm as &mut dyn $crate::sync::select::Arm),*],
                    $limit,
                );
                $(if let ::std::option::Option::Some($output) = $arm.take() {
                    let $pattern = $result;
                    $body
                } else)* {
                    $default
                }
            }
        }
    };

    (@arm $arms:tt $limit:tt $kind:ident $($rest:tt)*) => {
        ::std::compile_error!(::std::concat!(
            "an arm is `recv(receiver)`, `send(sender, value)`, `after(duration)`, `at(instant)`, ",
            "`default` or `default(duration)`, and there is one default at most; found `",
            ::std::stringify!($kind), "`"
        ))
    };
    (@arms $arms:tt $limit:tt $($rest:tt)*) => {
        ::std::compile_error!(::std::concat!(
            "expected `recv(receiver) -> pattern => expression,` or the like, found `",
            ::std::stringify!($($rest)*), "`"
        ))
    };
}
