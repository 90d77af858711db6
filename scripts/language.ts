import { existsSync } from "node:fs";
import { checkLanguage } from "./check/language.ts";
import { readSources } from "./check/sources.ts";

const under = process.argv[2] ?? "";
const folder = `src/${under}`.replace(/\/$/, "");
const found = checkLanguage(existsSync(folder) ? readSources(".", [folder]) : []);
for (const { file, line, text } of found) console.log(`${file}:${line} ${text}`);
console.log(found.length);
