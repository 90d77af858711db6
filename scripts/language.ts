import { checkLanguage } from "./check/language.ts";
import { readSources } from "./check/sources.ts";

const [folder = "src"] = process.argv.slice(2);
const findings = checkLanguage(readSources(".").filter(({ file }) => file.startsWith(folder)));
for (const { file, line, text } of findings) console.log(`${file}:${line} ${text}`);
console.log(findings.length);
