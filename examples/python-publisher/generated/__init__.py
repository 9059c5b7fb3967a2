# Written by `cargo xtask codegen` from `schemas/fbs/*.fbs`; do not edit.
