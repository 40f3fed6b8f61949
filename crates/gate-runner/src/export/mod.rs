//! Gate results in the forms that other tools read.

pub mod junit;
pub mod sarif;
