//! How `SQLite` goes about what is asked: by an index, whatever the number of tasks.

use bindu_protocol::{ContextId, Owner};
use bindu_storage::{PaymentQuery, PaymentState, TaskQuery};
use rusqlite::Connection;

use super::{list, outbox, payment, remove, task};
use crate::schema;

fn empty() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::prepare(&mut connection, "did:example").unwrap();
    connection
}

/// The steps that `SQLite` takes.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // The values are not bound: how a search goes does not depend on them.
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get("detail").unwrap());
    }
    steps
}

/// Every step is a search by an index, or goes along one; and nothing is sorted.
fn assert_quick(sql: &str) {
    let steps = plan(&empty(), sql);
    for step in &steps {
        let quick = step.starts_with("SEARCH")
            || (step.starts_with("SCAN") && step.contains("USING") && sql.contains("LIMIT"))
            || step.contains("SCALAR SUBQUERY");
        assert!(quick, "{sql}\ntakes the step {step:?} of {steps:#?}");
    }
}

#[test]
fn a_page_of_tasks_goes_along_one_index() {
    for context in [false, true] {
        for owner in [false, true] {
            for after in [false, true] {
                for oldest_first in [false, true] {
                    let query = TaskQuery {
                        context: context.then(ContextId::random),
                        owner: owner.then(Owner::nobody),
                        after: after.then(String::new),
                        oldest_first,
                        limit: 10,
                    };
                    let sql = list::tasks_sql(&query);
                    assert_quick(&sql);
                    let index = match (context, owner) {
                        (true, _) => "tasks_by_context",
                        (false, true) => "tasks_by_owner",
                        (false, false) => "tasks_by_age",
                    };
                    let steps = plan(&empty(), &sql);
                    assert!(steps[0].contains(index), "{sql}\ntakes the steps {steps:#?}");
                }
            }
        }
    }
}

#[test]
fn a_page_of_contexts_goes_along_one_index() {
    for owner in [false, true] {
        for after in [false, true] {
            assert_quick(&list::contexts_sql(owner, after));
        }
    }
    assert_quick(list::TASKS_OF);
}

#[test]
fn a_task_is_one_look_up() {
    assert_quick(&format!("SELECT {} FROM tasks t WHERE t.id = ?1", task::COLUMNS));
    assert_quick("SELECT body FROM events WHERE task = ?1 AND seq > ?2 ORDER BY seq");
    assert_quick("UPDATE tasks SET state = 'working' WHERE n = ?1");
    assert_quick(&remove::old_sql());
}

#[test]
fn stranded_tasks_are_three_stretches_of_an_index() {
    let steps = plan(&empty(), list::STRANDED);
    let stretches =
        steps.iter().filter(|step| step.contains("INDEX tasks_open (open=? AND since<?)"));
    assert_eq!(stretches.count(), 3, "{steps:#?}");
    let scanned = steps.iter().any(|step| step.starts_with("SCAN tasks"));
    assert!(!scanned, "{steps:#?}");
}

#[test]
fn the_outbox_is_searched_and_not_gone_through() {
    for task in [false, true] {
        for due in [false, true] {
            let steps = plan(&empty(), &outbox::sql(task, due));
            let index = match (task, due) {
                (true, _) => "outbox_by_task",
                (false, true) => "outbox_by_time (kind=? AND next<?)",
                (false, false) => "outbox_by_time (kind=?)",
            };
            assert!(steps.iter().any(|step| step.contains(index)), "{steps:#?}");
            let scanned =
                steps.iter().any(|step| step.starts_with("SCAN") && !step.ends_with("found"));
            assert!(!scanned, "{steps:#?}");
        }
    }
}

/// Deleting a task looks for what hangs on it; without an index it would go through the tables.
#[test]
fn whatever_refers_to_a_task_is_found_by_an_index() {
    let connection = empty();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%REFERENCES%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(tables.len(), 6, "{tables:?}");
    for table in tables {
        let column = if table == "tasks" { "context" } else { "task" };
        let sql = format!("SELECT 1 FROM {table} WHERE {column} = ?1");
        let steps = plan(&connection, &sql);
        assert!(steps.iter().all(|step| step.starts_with("SEARCH")), "{table}: {steps:#?}");
    }
}

#[test]
fn payments_are_found_by_an_index() {
    for state in [None, Some(PaymentState::Unknown)] {
        for after in [None, Some(String::new())] {
            let sql = payment::list_sql(&PaymentQuery { state, after, limit: 10 });
            assert_quick(&sql);
            let index = if state.is_some() { "payments_by_state" } else { "payments_by_age" };
            assert!(plan(&empty(), &sql)[0].contains(index), "{sql}");
        }
    }
    for (sql, index) in
        [(payment::OF_TASK, "payments_by_task (task=?)"), (payment::DUE, "payments_due (due<?)")]
    {
        let sql = payment::select(sql);
        assert_quick(&sql);
        assert!(plan(&empty(), &sql)[0].contains(index), "{:?}", plan(&empty(), &sql));
    }
    assert_quick(&payment::select("WHERE key = ?1"));
}
