//! `django.migrate` on small projects: what happens is told as what it is, by rows and tables.

use crate::small::{Ground, number, says};

#[test]
fn migrations_are_applied_and_compared_and_a_half_applied_one_is_never_run_again() {
    let ground = Ground::new();
    let shop = ground.project("good");
    shop.initial();
    shop.models(&["stock"]);
    shop.migration("0002_stock", "0001_initial", &number("stock"));
    let seen = shop.previewed("");
    says(&seen, &["1 migrations are open: shop.0002_stock", "good on"]);
    let done = shop.migrate("", 0);
    says(&done.out, &["shop.0002_stock is applied", "all 1 migrations have their row"]);
    assert_eq!(shop.columns("shop_item"), "id,name,stock");
    let done = shop.migrate("", 0);
    says(&done.out, &["step.satisfied", "no migration is open"]);

    let half = ground.project("half");
    half.initial();
    half.sql("INSERT INTO shop_item (name) VALUES ('dup'), ('dup')");
    half.migration(
        "0002_more",
        "0001_initial",
        &format!(
            "{}, migrations.CreateModel('Tag', [('id', models.BigAutoField(primary_key=True))]), migrations.AlterField('Item', 'name', \
             models.CharField(max_length=50, unique=True)), {}",
            number("price"),
            number("stock")
        ),
    );
    let done = half.migrate("", 1);
    says(
        &done.out,
        &["shop.0002_more is half applied: 2 of 4 operations are in the schema", "Duplicate entry", "roll back"],
    );
    half.sql("UPDATE shop_item SET name = CONCAT(name, id)");
    let done = half.up(&["decide", "schema", "retry", "--reason", "test"], 0);
    drop(done);
    let done = half.up(&["resume"], 1);
    says(&done.out, &["it is not run again", "the first error was in shop.0002_more", "1062"]);
    half.abort();
}
