//! The searches that clients send are answered from indexes.

use hyperfleet_projections::resource_view::{self, Order, Page};
use hyperfleet_tests::search_fleet::{searches, seed};

#[tokio::test]
async fn no_search_of_clients_reads_a_whole_table() {
    let database = hyperfleet_test_support::database().await;
    let pool = &database.pool;
    seed(pool, 20_000).await.expect("seeded");
    let page = Page {
        number: 1,
        size: 20,
    };
    for (text, filter) in searches(pool).await.expect("searches") {
        let plan = resource_view::plan(pool, &filter, &Order::default(), page, false).await;
        let plan = plan.expect("a plan").join("\n");
        assert!(!plan.contains("Seq Scan on resource"), "{text}:\n{plan}");
        assert!(plan.contains("Index"), "{text}:\n{plan}");
    }
}
