/** Model folders in the layout of transformers.js. */
export { comparedNearness, type EndToEnd, type ModulePaths, textsTogether } from "./end-to-end.ts";
export { generatorOf } from "./generate.ts";
export { basesIn, mainOf } from "./layout.ts";
export type { Loader, LoaderAnswer, LoaderAnswers, ModuleDtypes } from "./loader.ts";
export { leastSpeed } from "./needless.ts";
export { quantizeFolder } from "./quantize-folder.ts";
export type { FileFigures } from "./records.ts";
export type { FolderFile, FolderOptions, Found, Module, ModuleSearch, Variant } from "./run.ts";
export { folderTable, nearnessText } from "./table.ts";
export { searchTogether, type Together, usualTexts } from "./text-search.ts";
export { type TrimmedFolder, type TrimmedModel, type TrimOptions, trimFolder } from "./trim-vocabulary.ts";
export { randomNearness } from "./variant.ts";
