//! The text of `--help`.
//!
//! Owns the groups of commands in it, by what people want to do, which clap doesn't have, and an example
//! for each group.

/// The commands by what people want to do: clap has no groups of commands.
pub(super) const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Set up:
  init       Write a first sentinel.toml, and try its servers
  install    Add the gateway to clients; with --import it takes over their servers
  uninstall  Remove it from them
  login      Sign in to backends
  logout     Sign out of backends

    sentinel-gateway install claude-desktop --import
    sentinel-gateway login notes

See how things are:
  check      Try every backend, and report problems and how to fix them
  status     Show the gateways that run now, and what their backends do
  top        Watch them, and switch backends and tools off
  tools      List the tools as clients see them, or show one
  search     Find tools by what they do
  prompts    List the prompts
  resources  List the resources

    sentinel-gateway check
    sentinel-gateway --backend sqlite=http://127.0.0.1:3002/mcp tools

Use, through the whole gateway:
  call       Call one tool
  read       Read one resource
  prompt     Get one prompt, filled in

    sentinel-gateway call read_query 'query=SELECT 1+1 AS two'
    sentinel-gateway read memo://insights

Decide what may be called:
  pin        Show how tools have changed since they were accepted, and accept them
  disable    Switch backends or tools off, in running gateways, too
  enable     Switch them on again

    sentinel-gateway pin --dry-run
    sentinel-gateway disable n8n/delete_workflow

Write a config, and have a client serve it:
  schema     Print the JSON Schema of sentinel.toml
  help       Print the help of a command

    sentinel-gateway schema > sentinel.schema.json
    sentinel-gateway --config ~/mcp/sentinel.toml --only n8n,sqlite

Options:
{options}

Exit status: 0 success, 1 something failed at run time, 2 bad config or usage.";
