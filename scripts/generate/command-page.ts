/** docs/cli.md: every command with its arguments, options and examples, from the definitions that also make `--help`. */
import type { Command, Help } from "commander";
import { buildCommand, type CommandDefinition } from "../../src/app/cli/command.ts";
import { guideOf } from "../../src/app/cli/guides.ts";
import { meaningsOf } from "../../src/app/cli/options.ts";
import type { Meanings } from "../../src/core/pass/options.ts";
import { type Generator, generatedFrom } from "./generator.ts";

export const commandPage: Generator = {
  async generate() {
    const { allCommands } = await import("./commands.ts");
    const commands = await allCommands();
    return new Map([["docs/cli.md", renderCommands(commands.map(({ definition }) => definition))]]);
  },
};

/** Options of every command: the introduction describes them. */
const common: ReadonlySet<string> = new Set(["--help", "--json"]);

export function renderCommands(definitions: readonly CommandDefinition[]): string {
  return `${generatedFrom("src/app/cli/commands/ and the passes")}

# Commands

\`npx pith <command> --help\` prints what this page says about a command.

${table(
  ["command", "what it does"],
  definitions.map(({ name, summary }) => [`[${name}](#${name})`, cell(summary)]),
)}

Every command accepts \`--help\` and \`--json\`. With \`--json\`, standard output is one JSON document. The exit codes are 0 (done), 1 (failed, or a goal was missed), 2 (wrong usage), 130 (Ctrl-C) and 143 (SIGTERM).

Shares are written as \`30%\` or \`0.3\`. Lists are separated by commas. [completion](#completion) completes commands, options and values in a shell, if \`pith\` is on the PATH.

${definitions.map(renderCommand).join("\n\n")}
`;
}

function renderCommand(definition: CommandDefinition): string {
  const { name, arguments: words, examples, passed, options } = definition;
  const command = buildCommand(definition, async () => {});
  const help = command.createHelp();
  const meanings = [...(passed === undefined ? [] : meaningsOf(passed)), ...meaningsOf(options)];
  const guide = guideOf(name)?.replace("docs/", "");
  return [
    `## ${name}`,
    `${cell(command.description())}${guide === undefined ? "" : ` Guide: [${guide}](${guide}).`}`,
    `Usage: \`pith ${help.commandUsage(command)}\``,
    ...(words.length === 0
      ? []
      : [
          table(
            ["argument", "meaning"],
            command.registeredArguments.map((argument) => [
              `\`${argument.name()}\``,
              cell(help.argumentDescription(argument)),
            ]),
          ),
        ]),
    ...optionTables(command, help),
    ...meanings.map(meaningTable),
    `Examples:\n\n\`\`\`sh\n${examples.map((line) => `npx pith ${line}`).join("\n")}\n\`\`\``,
  ].join("\n\n");
}

/** A table for each heading of the help. */
function optionTables(command: Command, help: Help): readonly string[] {
  const shown = command.options.filter(({ long }) => long === undefined || !common.has(long));
  const groups = help.groupItems(shown, shown, ({ helpGroupHeading = "Options:" }) => helpGroupHeading);
  return [...groups].map(
    ([heading, options]) =>
      `**${cell(heading.replace(/:$/, ""))}**\n\n${table(
        ["option", "meaning"],
        options.map((option) => [code(option.flags), cell(help.optionDescription(option))]),
      )}`,
  );
}

function meaningTable({ title, rows }: Meanings): string {
  return `**${cell(title)}**\n\n${table(
    ["value", "meaning"],
    rows.map(([word, meaning]) => [code(word), cell(meaning)]),
  )}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Text of a cell: what Markdown would take for its own is escaped, and pages are links. */
function cell(text: string): string {
  return text
    .replaceAll(/[|<*]/g, (sign) => `\\${sign}`)
    .replaceAll(/docs\/([\w-]+\.md)/g, (_, page: string) => `[${page}](${page})`);
}

function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}
