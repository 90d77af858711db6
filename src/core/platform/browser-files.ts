/** Keeps files under paths in a page: those that the user chose, and those that Pith wrote. */
import type { ByteSource } from "../tensor/types.ts";
import { blobSource, leavesFolderError } from "./sources.ts";

const files = new Map<string, Blob>();

/** Removes ".", "..", doubled slashes and a slash at the end. */
function normalize(path: string): string {
  const parts: string[] = [];
  for (const [index, part] of path.split("/").entries()) {
    if (part === "..") parts.pop();
    else if (part !== "." && (part !== "" || index === 0)) parts.push(part);
  }
  return parts.join("/");
}

/**
 * Makes files readable under paths, in a browser. All functions that take the path of a file or folder then accept these paths. A folder at the top
 * that had files before is replaced as a whole, and so is a file that had the same path.
 * @example
 * const { files } = document.querySelector("input") ?? {};
 * addFiles(Array.from(files ?? [], (file) => [file.webkitRelativePath, file])); // photos/cat/1.jpg, photos/dog/2.jpg, …
 * const task = await openTask(model, { data: "photos" });
 */
export function addFiles(entries: Iterable<readonly [path: string, file: Blob]>): void {
  const addedFiles = new Map(Array.from(entries, ([path, file]) => [normalize(path), file] as const));
  const folders = new Set([...addedFiles.keys()].flatMap(topFolder));
  // Files of a folder that is chosen again can be those of another folder with the same name.
  for (const path of files.keys()) if (topFolder(path).some((folder) => folders.has(folder))) files.delete(path);
  for (const [path, file] of addedFiles) files.set(path, file);
}

const topFolder = (path: string): readonly string[] => (path.includes("/") ? path.split("/", 1) : []);

export const fileAt = (path: string): Blob | undefined => files.get(normalize(path));

export function sourceAt(path: string): ByteSource | undefined {
  const file = fileAt(path);
  return file === undefined ? undefined : { ...blobSource(file), name: path };
}

/** Returns the names in a folder in ascending order. */
export function namesIn(folder: string): string[] | undefined {
  const name = normalize(folder);
  const prefix = name === "" ? "" : `${name}/`;
  const names = new Set<string>();
  for (const path of files.keys())
    if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split("/", 1)[0] ?? "");
  return names.size === 0 ? undefined : [...names].sort();
}

/** Returns the path of a file that the file `owner` refers to. @throws PithError E_MODEL if it is not in the owner's folder or below. */
export function pathBeside(owner: string, location: string): string {
  const isOutside = location === "" || /^\/|[\\\0]/.test(location) || location.split("/").includes("..");
  if (isOutside) throw leavesFolderError(owner, location);
  return owner.includes("/") ? `${owner.slice(0, owner.lastIndexOf("/"))}/${location}` : location;
}
