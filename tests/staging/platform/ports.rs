//! The ports of one platform.

use crate::ports::free_port;

#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) nginx: u16,
    pub(crate) gunicorn: u16,
    pub(crate) mariadb: u16,
    pub(crate) redis: u16,
    pub(crate) rabbit: u16,
    pub(crate) epmd: u16,
    pub(crate) erlang: u16,
}

impl Ports {
    pub(super) fn take() -> Self {
        Self {
            nginx: free_port(),
            gunicorn: free_port(),
            mariadb: free_port(),
            redis: free_port(),
            rabbit: free_port(),
            epmd: free_port(),
            erlang: free_port(),
        }
    }
}
