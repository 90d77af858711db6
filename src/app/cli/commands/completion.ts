import * as v from "valibot";
import { defineCommand } from "../command.ts";

export const shells = ["bash", "zsh", "fish"] as const;

/** Scripts per shell. Each calls `pith complete`, which prints a candidate and its meaning per line. No word is evaluated as shell code. */
export const scripts: Readonly<Record<(typeof shells)[number], string>> = {
  bash: `_pith() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(pith complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o bashdefault -o default -F _pith pith
`,
  zsh: `#compdef pith
_pith() {
  local line
  local -a found
  for line in "\${(@f)$(pith complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( $#found )); then
    _describe pith found
  else
    compset -P '--*='
    _files
  fi
}
if [[ $funcstack[1] == _pith ]]; then _pith "$@"; else compdef _pith pith; fi
`,
  fish: `function __pith_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l found (pith complete -- $words[2..-1] "$last" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
        return
    end
    set -l flag (string match -r -- '^--[^=]*=' "$last")
    for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$last"))
        printf '%s%s\\n' "$flag" $path
    end
end
complete -c pith -f -a '(__pith_complete)'
`,
};

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
    const shell = shells.find((name) => name === word) ?? "bash";
    const script = scripts[shell];
    return Promise.resolve({ data: { shell, script }, print: () => session.terminal.text(script) });
  },
});
