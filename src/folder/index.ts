/** Folders as transformers.js lays them out. */
export { type FolderFile, type FolderOptions, quantizeFolder, type Variant } from "./quantize-folder.ts";
export type { Made } from "./records.ts";
