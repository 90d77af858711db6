/** Folders as transformers.js lays them out. */
export { type FolderFile, type FolderOptions, type Made, quantizeFolder, type Variant } from "./quantize-folder.ts";
