//! A real MCP server over a SQLite file, built with the official Rust SDK and served over HTTP on
//! loopback. Any other MCP server with the Streamable HTTP transport would work too.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::JsonObject;
use rmcp::schemars::JsonSchema;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{Json, ServerHandler, tool, tool_handler, tool_router};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Opens `database` and serves it on a free loopback port, at `/mcp`, for the life of the runtime.
///
/// # Errors
/// The file can't be opened, or no port is free.
pub(crate) async fn start(database: &Path) -> Result<SocketAddr, Box<dyn std::error::Error>> {
    let server = SqliteServer {
        connection: Arc::new(Mutex::new(Connection::open(database)?)),
    };
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::<LocalSessionManager>::default(),
        Default::default(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = axum::Router::new().nest_service("/mcp", service);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// One clone per session; all clones share one connection.
#[derive(Clone)]
struct SqliteServer {
    connection: Arc<Mutex<Connection>>,
}

/// The arguments of every tool that takes SQL.
#[derive(Deserialize, JsonSchema)]
struct Sql {
    /// One SQL statement
    query: String,
}

/// The answer of `read_query` and `list_tables`.
#[derive(Serialize, JsonSchema)]
struct Rows {
    rows: Vec<JsonObject>,
}

/// The answer of `write_query`.
#[derive(Serialize, JsonSchema)]
struct Written {
    rows_changed: usize,
}

// The gateway uses the annotations: after an uncertain outcome it retries a call only if the tool is
// read-only or idempotent. An `Err` becomes a tool result with `isError`, which the model can read.
#[tool_router]
impl SqliteServer {
    /// Create a table
    #[tool(annotations(destructive_hint = false))]
    async fn create_table(&self, Parameters(sql): Parameters<Sql>) -> Result<String, String> {
        if !starts_with(&sql.query, "create table") {
            return Err("create_table takes a CREATE TABLE statement".to_owned());
        }
        let run = self.connection().execute(&sql.query, []);
        run.map(|_| "table created".to_owned())
            .map_err(error_message)
    }

    /// Insert, update or delete rows
    #[tool(annotations(destructive_hint = true, idempotent_hint = false))]
    async fn write_query(&self, Parameters(sql): Parameters<Sql>) -> Result<Json<Written>, String> {
        if starts_with(&sql.query, "select") {
            return Err("write_query changes rows; to read them, call read_query".to_owned());
        }
        let run = self.connection().execute(&sql.query, []);
        run.map(|rows_changed| Json(Written { rows_changed }))
            .map_err(error_message)
    }

    /// Read rows with a SELECT
    #[tool(annotations(read_only_hint = true))]
    async fn read_query(&self, Parameters(sql): Parameters<Sql>) -> Result<Json<Rows>, String> {
        select(&self.connection(), &sql.query).map(Json)
    }

    /// Name the tables of the database
    #[tool(annotations(read_only_hint = true))]
    async fn list_tables(&self) -> Result<Json<Rows>, String> {
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
        select(&self.connection(), tables).map(Json)
    }
}

#[tool_handler(name = "sqlite", version = "1.0.0")]
impl ServerHandler for SqliteServer {}

impl SqliteServer {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a read-only statement and returns its rows as JSON objects.
fn select(connection: &Connection, query: &str) -> Result<Rows, String> {
    let mut statement = connection.prepare(query).map_err(error_message)?;
    if !statement.readonly() {
        return Err("read_query only reads; to change rows, call write_query".to_owned());
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| {
        let cell =
            |(index, name): (usize, &String)| Ok((name.clone(), to_json(row.get_ref(index)?)));
        columns.iter().enumerate().map(cell).collect()
    });
    let rows = rows.and_then(Iterator::collect).map_err(error_message)?;
    Ok(Rows { rows })
}

/// A SQLite value as JSON. A blob is represented by its size.
fn to_json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => json!(format!("{} bytes", bytes.len())),
    }
}

fn starts_with(query: &str, keyword: &str) -> bool {
    let start = query.trim_start().get(..keyword.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(keyword))
}

fn error_message(error: rusqlite::Error) -> String {
    format!("SQLite: {error}")
}
