import * as v from "valibot";
import { defineCommand } from "../command.ts";
import { scripts, shells } from "../completion/scripts.ts";

export default defineCommand({
  name: "completion",
  summary: "print a script that completes commands, flags and values in a shell",
  arguments: [{ name: "shell", description: "the shell", choices: shells }],
  options: v.object({}),
  folders: () => true,
  deterministic: true,
  examples: [
    "completion bash >> ~/.bashrc",
    "completion zsh >> ~/.zshrc",
    "completion fish > ~/.config/fish/completions/pith.fish",
  ],
  run([word], _, session) {
    const shell = shells.find((one) => one === word) ?? "bash";
    const script = scripts[shell];
    return Promise.resolve({ data: { shell, script }, print: () => session.terminal.text(script) });
  },
});
