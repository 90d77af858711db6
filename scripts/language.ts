import { checkLanguage } from "./check/language.ts";
import { readSources } from "./check/sources.ts";
const under = process.argv[2] ?? "";
const found = checkLanguage(readSources(".", ["src"])).filter(({ file }) => file.startsWith(`src/${under}`));
for (const { file, line, text } of found) console.log(`${file}:${line} ${text}`);
console.log(found.length);
