"""The five clients: where each has its program, how it is told of its model, and what it calls the gateway's tools.

Each has a home of its own in the folder of the run, and an environment without anything of the user's: the entry of
the gateway gets there by `sentinel-gateway install` alone. They must not know what is checked.
"""

import json
import os
import re
import subprocess

from apis import Completions, GenerateContent, Messages, Responses
from installed import Failure, program
from processes import Process

ENTRY = "sentinel"
MODEL = "stand-in"
PROMPT = "Do what has to be done with the tools."
# A port that nothing listens on: what goes past the loopback fails at once.
NO_WAY_OUT = "http://127.0.0.1:9"
FOLDERS = {"CONFIG": ".config", "DATA": ".local/share", "STATE": ".local/state", "CACHE": ".cache", "RUNTIME": ".run"}


class Client:
    """A client with an empty home. Subclasses say how it differs:

    `name` (that of `install`), `title`, `package` (npm), `api`, `off_switches` (variables), `listing` (a pattern of the
    line that its list of servers has for us), `command()`, `prompt()`, `tool(name)`, the name of our tool for models, and
    `list_is_fixed`, why its list of tools can't change while it runs.
    """

    off_switches = {}
    list_is_fixed = ""

    def __init__(self, modules, binary, folder):
        self.modules = modules
        self.binary = binary
        self.folder = folder
        self.listed = ""
        self.written = {}
        self.home = folder / "home"
        self.work = folder / "work"
        self.config = self.home / FOLDERS["CONFIG"] / "sentinel" / "sentinel.toml"
        self.work.mkdir(parents=True)
        for made in FOLDERS.values():
            (self.home / made).mkdir(parents=True, mode=0o700)
        self.config.parent.mkdir()

    def environment(self, model_url=NO_WAY_OUT):
        """All that the client sees: nothing of the user's, and no way to the network."""
        env = {"HOME": self.home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb", "CI": "1"}
        env |= {f"XDG_{kind}_HOME": self.home / path for kind, path in FOLDERS.items() if kind != "RUNTIME"}
        env["XDG_RUNTIME_DIR"] = self.home / FOLDERS["RUNTIME"]
        for name in ("http_proxy", "https_proxy"):
            env |= {name: NO_WAY_OUT, name.upper(): NO_WAY_OUT}
        env |= {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost", "NO_COLOR": "1"}
        env |= {**self.off_switches, **self.model_variables(model_url)}
        return {name: str(value) for name, value in env.items()}

    def gateway(self, *arguments):
        """Runs the gateway in this home, and returns what it printed."""
        return self._run("gateway", [self.binary, *arguments], self.environment())

    def lists_us(self):
        """Whether the client's own command lists our entry. What it printed is in `listed`."""
        self.listed = self._run("list", [*self.command(), "mcp", "list"], self.environment())
        return re.search(self.listing, self.listed, re.MULTILINE) is not None

    def converse(self, model):
        """Lets the client do what the model asks for, to the end."""
        self._run("conversation", [*self.command(), *self.prompt()], self.environment(model.url))

    def set_up_model(self, url):
        """Writes what the client needs in its own files to reach the model."""

    def model_variables(self, url):
        """The same where it is told by variables."""
        return {}

    def write(self, path, text):
        """Writes a file of the client's own. All of them are in `written`, by path."""
        path = self.home / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.written[path] = text

    def _run(self, what, command, env, seconds=180):
        log = self.folder / f"{what}.log"
        log.unlink(missing_ok=True)
        with Process(what, command, log, env=env, cwd=self.work) as process:
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise Failure(f"{what}: no end after {seconds} s:\n{process.log_tail()}") from None
        if code != 0:
            raise Failure(f"`{' '.join(map(str, command))}` ended with {code}:\n{process.log_tail()}")
        return log.read_text(errors="replace")


class ClaudeCode(Client):
    name = "claude-code"
    title = "Claude Code"
    list_is_fixed = "it speaks revision 2026-07-28, in which a list may not depend on earlier calls"
    listing = r"^sentinel: .* ✔ Connected$"
    package = "@anthropic-ai/claude-code"
    api = Messages
    off_switches = {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }

    def command(self):
        return [program(self.modules, "@anthropic-ai/claude-code-*/claude")]

    def prompt(self):
        return ["-p", PROMPT, "--allowedTools", f"mcp__{ENTRY}", "--max-turns", "20"]

    def model_variables(self, url):
        return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "not-a-key", "ANTHROPIC_MODEL": MODEL}

    def tool(self, name):
        return f"mcp__{ENTRY}__{name}"


class Codex(Client):
    name = "codex"
    title = "Codex"
    list_is_fixed = "it ignores list_changed"
    listing = r"^sentinel .* enabled "
    package = "@openai/codex"
    api = Responses

    def command(self):
        return [program(self.modules, "@openai/codex-*/vendor/*/bin/codex")]

    def prompt(self):
        approved = f'mcp_servers.{ENTRY}.default_tools_approval_mode="approve"'
        return ["exec", "--skip-git-repo-check", "-c", approved, PROMPT]

    def set_up_model(self, url):
        self.write(".codex/config.toml", CODEX_CONFIG.format(model=MODEL, url=url))

    def tool(self, name):
        return f"mcp__{ENTRY}/{name}"


CODEX_CONFIG = """\
# The model of the test.
model = "{model}"
model_provider = "test"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.test]
name = "test"
base_url = "{url}/v1"
wire_api = "responses"
"""


class OpenCode(Client):
    name = "opencode"
    title = "OpenCode"
    listing = r"✓ sentinel .*connected"
    package = "opencode-ai"
    api = Completions
    off_switches = {
        "OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_SHARE": "1",
    }

    def command(self):
        # The second is that of machines without AVX2, which is installed beside the first.
        return [program(self.modules, "opencode-*[0-9]/bin/opencode", "opencode-*-baseline/bin/opencode")]

    def prompt(self):
        return ["run", PROMPT]

    def set_up_model(self, url):
        self.write(".config/opencode/opencode.jsonc", OPENCODE_CONFIG % {"url": url, "model": MODEL})

    def tool(self, name):
        return f"{ENTRY}_{name}"


# OpenCode would add the first member itself.
OPENCODE_CONFIG = """\
{
  "$schema": "https://opencode.ai/config.json",
  // The model of the test.
  "model": "test/%(model)s",
  "small_model": "test/%(model)s",
  "permission": "allow",
  "share": "disabled",
  "autoupdate": false,
  "provider": {
    "test": {
      "npm": "@ai-sdk/openai-compatible",
      "options": { "baseURL": "%(url)s/v1", "apiKey": "not-a-key" },
      "models": {
        "%(model)s": { "name": "%(model)s", "tool_call": true, "limit": { "context": 100000, "output": 1000 } },
      },
    },
  },
}
"""


class GeminiCli(Client):
    name = "gemini"
    title = "Gemini CLI"
    listing = r"^✓ sentinel: .* Connected$"
    package = "@google/gemini-cli"
    api = GenerateContent
    off_switches = {"GEMINI_TELEMETRY_ENABLED": "false", "GEMINI_CLI_TRUST_WORKSPACE": "true"}

    def command(self):
        return ["node", program(self.modules, "@google/gemini-cli/bundle/gemini.js")]

    def prompt(self):
        return ["--model", "gemini-2.5-flash", "--approval-mode", "yolo", "--prompt", PROMPT]

    def set_up_model(self, url):
        settings = {
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": False},
            "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        }
        self.write(".gemini/settings.json", json.dumps(settings, indent=2))

    def model_variables(self, url):
        return {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "not-a-key"}

    def tool(self, name):
        return f"mcp_{ENTRY}_{name}"


class CopilotCli(Client):
    name = "copilot"
    title = "Copilot CLI"
    list_is_fixed = "it speaks revision 2026-07-28, in which a list may not depend on earlier calls"
    listing = r"^  sentinel \(local\)$"
    package = "@github/copilot"
    api = Completions
    off_switches = {"COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false"}

    def command(self):
        return [program(self.modules, "@github/copilot-*/copilot")]

    def prompt(self):
        return ["--prompt", PROMPT, "--allow-all-tools", "--disable-builtin-mcps", "--no-ask-user", "--no-color"]

    def model_variables(self, url):
        return {"COPILOT_PROVIDER_BASE_URL": f"{url}/v1", "COPILOT_MODEL": MODEL}

    def tool(self, name):
        return f"{ENTRY}-{name}"


CLIENTS = [ClaudeCode, Codex, OpenCode, GeminiCli, CopilotCli]
