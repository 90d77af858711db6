/** `tsx scripts/release-notes.ts v1.2.3`: checks that a tag can be released, and prints the section of its version in CHANGELOG.md. */
import { readFileSync } from "node:fs";
import { changelogSection, checkTag } from "./check/release.ts";

const [tag = ""] = process.argv.slice(2);
const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const changelog = readFileSync("CHANGELOG.md", "utf8");
const problem = checkTag(tag, version, changelog);
if (problem === undefined) process.stdout.write(`${changelogSection(changelog, version)}\n`);
else {
  process.stderr.write(`${problem}\n`);
  process.exitCode = 1;
}
