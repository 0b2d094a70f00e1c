//! Two upgrades migrate one database at the same moment.

use crate::common::World;
use crate::platform::patiently;
use crate::small::Ground;
use std::path::Path;

/// Card 07: the second one does not begin, and names the connection of the first; a data step is done once.
#[test]
fn the_second_of_two_upgrades_begins_nothing() {
    let ground = Ground::new();
    let shop = ground.project("twice");
    shop.initial();
    shop.models(&["price"]);
    let gift = "import os, time\ndef gift(apps, se):\n    apps.get_model('shop', 'Item').objects.create(name='gift')\n    \
        open('inside', 'w').close()\n    while not os.path.exists('go'): time.sleep(0.05)\n---\n\
        migrations.RunPython(gift), migrations.AddField('Item', 'price', models.IntegerField(default=0))";
    shop.migration("0002_gift", "0001_initial", gift);
    let plan = shop.plan("");
    let mut first = shop.begin(&plan);
    patiently("the first is in its data step", || {
        shop.path("inside").exists()
    });
    let other = World::new();
    let second = other.upledger(&["run", &plan]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(
        second
            .out
            .contains("another upgrade migrates the schema twice now: connection"),
        "{second:?}"
    );
    let gifts = || shop.sql("SELECT COUNT(*) FROM shop_item WHERE name = 'gift'");
    std::fs::write(Path::new(&shop.path("go")), "").expect("written");
    assert_eq!(first.wait().expect("it ends").code(), Some(0));
    assert_eq!(
        (gifts(), shop.rows()),
        ("1".into(), "0001_initial 0002_gift".into())
    );
    // It is done, so that the other one has nothing to do.
    let decided = other.upledger(&["decide", "schema", "retry", "--reason", "test"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    let again = other.upledger(&["resume"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(gifts(), "1");
}
