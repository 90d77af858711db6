/** The table in SECURITY.md is complete. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { buildCommand } from "../../src/app/cli/command.ts";
import { commands } from "../../src/app/cli/commands.ts";
import { isModule } from "../../src/core/pass/path-options.ts";

const rows = readFileSync(new URL("../../SECURITY.md", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => line.split("|").map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word)))
  .map(([, name = [], code = [], read = [], written = []]) => ({ name: name[0], code, read, written }));

test("lists each command in the order of the help", () => {
  expect(rows.map(({ name }) => name)).toEqual(commands.map(({ name }) => name));
});

/** Options whose value can be a module although their schema accepts any path. */
const dataOfCode = ["--data", "--score", "--modules"];

test.each(rows)("lists the options with which $name runs code, reads and writes files", async (row) => {
  const { default: definition } = (await commands.find(({ name }) => name === row.name)?.load()) ?? {};
  if (definition === undefined) expect.fail("there is no such command");
  const { options } = buildCommand(definition, async () => {});
  const schemas = [definition.options, definition.passSchema].filter((schema) => schema !== undefined);
  const code = options
    .filter(
      (option) =>
        dataOfCode.includes(option.long ?? "") ||
        schemas.some((schema) => isModule(schema, option.attributeName(), "own.mjs")),
    )
    .map(({ long }) => long);
  expect(new Set(row.code)).toEqual(new Set(code));
  // The placeholder of a path has an extension, a slash, or says so.
  const paths = options
    .filter(({ flags }) => /<.*(path|file|folder|\/|\.[a-z]+).*>/.test(flags))
    .map(({ long }) => long);
  expect(new Set([...row.code, ...row.read, ...row.written])).toEqual(new Set([...code, ...paths]));
});
