/** Opens the studio for tests: temporary folders are removed after the tests of the file. */
import { beforeAll } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { buildStudioIn, openAddressIn, openStudioIn, type Studio, type StudioOptions } from "./open-studio.ts";

export { browser } from "../page.ts";
export type { Studio } from "./open-studio.ts";

/** Builds the page as it is published. @returns the folder with its files. */
export async function buildStudio(): Promise<string> {
  const folder = temporaryFolder();
  await buildStudioIn(folder);
  return folder;
}

export const openStudio = (folder: string, options?: StudioOptions): Promise<Studio> =>
  openStudioIn(temporaryFolder(), folder, options);

/** Builds the page before the tests of a file. Returns a function that opens it for a test. */
export function builtStudio(): (use: (studio: Studio) => Promise<void>) => Promise<void> {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });
  return async (use) => {
    const studio = await openStudio(folder);
    try {
      await use(studio);
    } finally {
      await studio.close();
    }
  };
}

/** Opens an address of the studio in a browser. */
export const openAddress = (address: string): Promise<Omit<Studio, "stopServer">> =>
  openAddressIn(temporaryFolder(), address);
