//! The build that is being replaced.

mod program;

mod product {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(crate) struct Product {
        pub(crate) version: u64,
        name: String,
    }

    impl Product {
        pub(crate) fn of(id: u64, version: u64) -> Self {
            Self { version, name: format!("product {id}") }
        }
    }
}

#[tokio::main]
async fn main() {
    program::run().await;
}
