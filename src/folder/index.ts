/** Folders as transformers.js lays them out. */
export { speedNote } from "./card.ts";
export { answersText, batchText, type EndToEnd } from "./end-to-end.ts";
export { generatorOf } from "./generate.ts";
export { basesIn, mainOf } from "./layout.ts";
export {
  type FolderFile,
  type FolderOptions,
  type ModulePaths,
  quantizeFolder,
  textsTogether,
  type Variant,
} from "./quantize-folder.ts";
export { type Made, speedText } from "./records.ts";
