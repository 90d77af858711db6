/** Test files that share a process share what they have loaded; this file is loaded for each of them. */
import { afterAll } from "vitest";
import { removeFolders } from "../temporary.ts";

afterAll(removeFolders);
