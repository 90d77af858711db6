/** Folders as transformers.js lays them out. */
export { speedNote } from "./card.ts";
export { answersText, batchNote, batchText, type EndToEnd, type ModulePaths, textsTogether } from "./end-to-end.ts";
export { fileHash, textHash } from "./files.ts";
export { generatorOf } from "./generate.ts";
export { basesIn, isVariant, mainOf } from "./layout.ts";
export { type Loader, type LoaderAnswer, type LoaderAnswers, loaderText, type ModuleDtypes } from "./loader.ts";
export { quantizeFolder } from "./quantize-folder.ts";
export { type Made, speedText } from "./records.ts";
export type { FolderFile, FolderOptions, Variant } from "./run.ts";
