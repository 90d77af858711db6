/** The first module of a process that can run any job, also one of a user. */
import { serveJob } from "./child.ts";

serveJob((address) => import(address));
