/** Prints the findings of the language check below a folder: `npx tsx scripts/language.ts src/app`. */
import { checkLanguage } from "./check/language.ts";
import { readSources } from "./check/sources.ts";

const folders = process.argv.slice(2);
const findings = checkLanguage(readSources(".", folders.length === 0 ? undefined : folders));
for (const { file, line, text } of findings) console.log(`${file}:${line} ${text}`);
console.log(findings.length);
