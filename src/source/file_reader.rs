//! Reading files: which of them are new, whose generation each continues, what each gives next, and where all of them stand.
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::file_content::{Compression, Content};
use super::file_tracked::{FIRST_LINE_MAX, Fate, Known, Tracked, begins_as, first_line, identity, inode, name_of};
use super::multiline::Joining;
use crate::codec::framing::newline::{NewlineFraming, push_line};
use crate::component::source::SourceContext;
use crate::component::source::{Fill, Position, Source};
use crate::component::{BoxFuture, Outage};
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, FILES_MAX, LINE_BYTES_MAX};
use crate::state::{StateError, StateReader, StateWriter};
use crate::window::watermark::Activity;

/// Time between two looks for new lines, and for new files.
const POLL: Duration = Duration::from_millis(100);
/// Bytes by which a file is told from another that begins alike.
const COPY_BYTES: usize = 64 * 1024;
/// A file that holds what another one holds, and was written so lately, is taken for a copy that is being made: the other one is truncated when it is whole.
const COPY_AGE: i64 = 3 * crate::limits::SECOND;
const GLOB_INTERVAL: i64 = crate::limits::SECOND;

/// Which files, and how they are read.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) name: String,
    pub(super) globs: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) follow: bool,
    pub(super) from_end: bool,
    pub(super) compression: Compression,
    pub(super) joining: Option<Joining>,
}

/// The source.
pub(super) struct FileSource {
    name: String,
    globs: Vec<String>,
    exclude: Vec<glob::Pattern>,
    follow: bool,
    from_end: bool,
    compression: Compression,
    joining: Option<Joining>,
    context: SourceContext,
    files: Vec<Tracked>,
    /// Files of the last run that have not been found again, and generations that are over.
    past: Vec<Known>,
    next: usize,
    looked: i64,
    /// Partitions to be named before the first line.
    opening: Vec<Arc<Origin>>,
    has_opened: bool,
    found_nothing_new: bool,
    framing: NewlineFraming,
}

impl FileSource {
    pub(super) fn new(mut files: Files, context: SourceContext) -> FileSource {
        if let Some(instead) = &context.instead {
            files.globs = instead.iter().map(|path| glob::Pattern::escape(&path.display().to_string())).collect();
            (files.exclude, files.follow, files.from_end) = (Vec::new(), false, false);
        }
        FileSource {
            name: files.name,
            globs: files.globs,
            exclude: files.exclude.iter().filter_map(|g| glob::Pattern::new(g).ok()).collect(),
            follow: files.follow && !context.until_end,
            from_end: files.from_end,
            compression: files.compression,
            joining: files.joining,
            context,
            files: Vec::new(),
            past: Vec::new(),
            next: 0,
            looked: i64::MIN,
            opening: Vec::new(),
            has_opened: false,
            found_nothing_new: true,
            framing: NewlineFraming::default(),
        }
    }

    /// The files that match, by name.
    fn matching(&self) -> Vec<PathBuf> {
        let all = self.globs.iter().filter_map(|g| glob::glob(g).ok()).flatten().flatten();
        let mut paths: Vec<PathBuf> = all.filter(|path| !self.exclude.iter().any(|p| p.matches_path(path))).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Looks for files that match and are not open.
    fn look(&mut self) {
        self.looked = self.context.clock.now();
        let is_first = !self.has_opened;
        for path in self.matching() {
            if self.files.len() >= FILES_MAX {
                break;
            }
            let known = self.files.iter().any(|f| f.path == path && !f.has_ended);
            if known || !path.is_file() || self.is_done(&path) {
                continue;
            }
            if let Ok(Some(tracked)) = self.open(path, is_first) {
                self.opening.push(Arc::clone(&tracked.origin));
                self.files.push(tracked);
            }
        }
    }

    /// Opens a file and finds out who it is. None while its first line is not whole.
    fn open(&mut self, path: PathBuf, is_first: bool) -> std::io::Result<Option<Tracked>> {
        let file = File::open(&path)?;
        let name = name_of(&path, &self.context.folder);
        let (own_inode, mut len) = (inode(&file)?, file.metadata()?.len());
        if self.files.iter().any(|f| f.known.inode == own_inode && f.has_ended && f.path == path) && !self.follow {
            return Ok(None);
        }
        // A file that is still open under its old name is being read already.
        if self.files.iter().any(|f| f.known.inode == own_inode && !f.has_ended) {
            return Ok(None);
        }
        let mut content = Content::open(file, self.compression)?;
        let head = content.head(FIRST_LINE_MAX)?;
        self.end_truncated(&head, is_first);
        if content.is_packed() {
            // How much is in it shows at its end.
            len = u64::MAX;
        }
        if (content.is_packed() || self.was_written_lately(content.file())) && self.is_copy_of_open(&mut content, &head)? {
            return Ok(None);
        }
        let known = match self.recognise(&head, &name, own_inode, len) {
            Some(known) if known.is_done => {
                self.past.push(known);
                return Ok(None);
            }
            Some(known) => known,
            None => {
                let Some(first_line) = first_line(&head, !self.follow || content.is_packed()) else { return Ok(None) };
                let alike = |k: &&Known| k.first_line == first_line;
                let ordinals = self.files.iter().map(|f| &f.known).chain(&self.past).filter(alike).map(|k| k.ordinal + 1);
                // Each source counts for itself, and all of them differ: equal files of two sources are not one.
                let ordinal = ordinals.max().unwrap_or((self.context.number as u32) << 16);
                let of_name = |k: &&Known| k.name == name;
                let generation =
                    self.files.iter().map(|f| &f.known).chain(&self.past).filter(of_name).map(|k| k.generation + 1).max().unwrap_or(0);
                let offset = if self.from_end && is_first && !content.is_packed() { len } else { 0 };
                Known { name, first_line, ordinal, inode: own_inode, offset, generation, skipping: false, is_done: false }
            }
        };
        content.seek(known.offset)?;
        self.found_nothing_new &= known.offset >= len;
        let origin = Origin {
            source: self.name.clone(),
            partition: known.name.clone(),
            identity: identity(&self.context.installation, &known),
            base: Some(known.base()),
            ..Origin::default()
        };
        Ok(Some(Tracked {
            path,
            content,
            known,
            origin: Arc::new(origin),
            carry: Vec::new(),
            want: BATCH_BYTES_MAX,
            has_whole_lines: false,
            silent_since: None,
            is_idle: false,
            has_ended: false,
            is_broken: false,
        }))
    }

    /// Finds the file among those of the last run: by its name, by its inode, or by its beginning if the old name leads elsewhere now.
    fn recognise(&mut self, head: &[u8], name: &str, own_inode: (u64, u64), len: u64) -> Option<Known> {
        let fits = |k: &Known| k.offset <= len && begins_as(head, k);
        let newest = |same: &dyn Fn(&Known) -> bool| {
            // How it begins is asked first: where a name leads is a question to the file system.
            let found = self.past.iter().enumerate().filter(|(_, k)| fits(k) && same(k));
            found.max_by_key(|(_, k)| k.generation).map(|(i, _)| i)
        };
        let at = newest(&|k| k.name == name)
            .or_else(|| newest(&|k| k.inode == own_inode))
            .or_else(|| newest(&|k| !leads_to(&self.context.folder.join(&k.name), self.compression, k)))?;
        let mut known = self.past.swap_remove(at);
        known.inode = own_inode;
        if known.is_done {
            // What is packed is known by where it lies now, so that it need not be opened again.
            name.clone_into(&mut known.name);
        }
        Some(known)
    }

    /// Whether a path leads to a packed file that was read to its end.
    fn is_done(&self, path: &Path) -> bool {
        let name = name_of(path, &self.context.folder);
        self.past.iter().any(|k| k.is_done && k.name == name && std::fs::metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == k.inode))
    }

    /// Ends the generation of files that began so and were truncated since: what begins so now is their copy, which continues them.
    fn end_truncated(&mut self, head: &[u8], is_first: bool) {
        let was_truncated = |f: &Tracked| !f.has_ended && begins_as(head, &f.known) && f.begins_anew();
        while !is_first && let Some(at) = self.files.iter().position(was_truncated) {
            self.start_generation(at);
        }
    }

    fn was_written_lately(&self, file: &File) -> bool {
        let written = file.metadata().ok().map(|meta| meta.mtime() * crate::limits::SECOND + meta.mtime_nsec());
        self.follow && written.is_some_and(|written| (0..COPY_AGE).contains(&(self.context.clock.now() - written)))
    }

    /// Whether a file is the copy of one that is open: a rotation that packs what is still being read, or that truncates it afterwards.
    fn is_copy_of_open(&self, content: &mut Content, head: &[u8]) -> std::io::Result<bool> {
        let alike: Vec<&Tracked> =
            self.files.iter().filter(|f| !f.has_ended && !f.content.is_packed() && begins_as(head, &f.known)).collect();
        if alike.is_empty() {
            return Ok(false);
        }
        let copied = content.head(COPY_BYTES)?;
        let is_copy = |tracked: &&Tracked| {
            let mut own = vec![0; copied.len()];
            let read = tracked.content.file().read_at(&mut own, 0).unwrap_or(0);
            read > 0 && copied.starts_with(&own[..read])
        };
        Ok(alike.iter().any(is_copy))
    }

    /// Reads from one file. None where it has nothing.
    fn read(&mut self, at: usize, builder: &mut BatchBuilder) -> std::io::Result<Option<Fill>> {
        let tracked = &mut self.files[at];
        builder.bytes.append(&mut tracked.carry);
        let carried = builder.bytes.len();
        let mut room = tracked.want.saturating_sub(carried).max(4096);
        if carried >= BATCH_BYTES_MAX {
            // A long line: read on until its end or its limit.
            room = (LINE_BYTES_MAX + 1).saturating_sub(carried).clamp(1, BATCH_BYTES_MAX);
        }
        builder.bytes.reserve(room + crate::limits::BATCH_TAIL_BYTES);
        let outcome = tracked.content.by_ref().take(room as u64).read_to_end(&mut builder.bytes);
        let mut read = builder.bytes.len() - carried;
        // What was read before a fault counts; the fault comes again when there is nothing more.
        if let Err(error) = outcome
            && read == 0
        {
            if !tracked.content.is_packed() {
                tracked.carry.append(&mut builder.bytes);
                return Err(error);
            }
            self.context.discarded.broken.increment(u64::from(!tracked.is_broken));
            tracked.is_broken = true;
        }
        if read > 0 && self.follow && tracked.begins_anew() {
            // It was truncated and has grown beyond what was read: these bytes are another generation's.
            builder.bytes.truncate(carried);
            read = 0;
        }
        self.context.discarded.bytes.increment(read as u64);
        let mut start = 0;
        if tracked.known.skipping {
            let end = memchr::memchr(b'\n', &builder.bytes).map(|n| n + 1);
            let skipped = end.unwrap_or(builder.bytes.len());
            self.context.discarded.cut_bytes.increment(skipped as u64);
            tracked.known.skipping = end.is_none();
            start = skipped;
        }
        // What the row limit left over has newlines that were not looked at.
        let from = if tracked.has_whole_lines { start } else { carried.max(start) };
        // Lines of an event that was not over are marked again with those that came.
        let from = if self.joining.is_some() { start } else { from };
        let framed = self.framing.mark(builder, start, from);
        if self.joining.is_none() {
            self.context.discarded.empty.increment(framed.empty);
        }
        let mut rest = framed.rest;
        let waiting = builder.bytes.len() - rest;
        if builder.lines.is_empty() && waiting > LINE_BYTES_MAX {
            push_line(builder, rest, builder.bytes.len());
            self.context.discarded.cut_bytes.increment((waiting - LINE_BYTES_MAX) as u64);
            tracked.known.skipping = true;
            rest = builder.bytes.len();
        } else if read == 0
            && waiting > 0
            && (!self.follow || tracked.content.is_packed())
            && builder.lines.len() < BATCH_ROWS_MAX
            && !builder.bytes[rest..].contains(&b'\n')
        {
            // A last line without its newline.
            push_line(builder, rest, builder.bytes.len());
            rest = builder.bytes.len();
        }
        let was_full = builder.lines.len() == BATCH_ROWS_MAX;
        if let Some(Joining { multiline, timeout }) = &self.joining {
            let ends = !self.follow || tracked.content.is_packed();
            let is_silent = tracked.silent_since.is_some_and(|since| self.context.clock.now() - since >= *timeout);
            // An event is over when nothing more can come, or nothing has come for a while.
            let is_over = read == 0 && !was_full && (ends || is_silent || tracked.fate() != Fate::Same);
            rest = multiline.join(builder, is_over).unwrap_or(rest);
        }
        tracked.want = if was_full { rest } else { (tracked.want + tracked.want / 4).min(BATCH_BYTES_MAX) };
        tracked.has_whole_lines = was_full;
        let base = tracked.base();
        tracked.carry.extend_from_slice(&builder.bytes[rest..]);
        builder.bytes.truncate(rest);
        tracked.known.offset += rest as u64;
        if builder.lines.is_empty() {
            builder.bytes.clear();
            return Ok(if read > 0 { Some(Fill::Wait(Duration::ZERO)) } else { None });
        }
        tracked.silent_since = None;
        if std::mem::take(&mut tracked.is_idle) {
            self.context.pace.resume(&tracked.origin);
        }
        Ok(Some(Fill::Rows { origin: Arc::clone(&tracked.origin), base, positions: Positions::Bytes }))
    }

    /// What to do with a file that has nothing more.
    fn at_end(&mut self, at: usize) -> Option<Fill> {
        let now = self.context.clock.now();
        self.files[at].known.is_done = self.files[at].content.is_packed();
        if !self.follow {
            let tracked = &mut self.files[at];
            tracked.has_ended = true;
            self.context.pace.release(&tracked.origin);
            return Some(Fill::Partition(Arc::clone(&tracked.origin), Activity::Ended));
        }
        let fate = self.files[at].fate();
        // A packed file is over at its end; so is one that nobody can write to any more by its name, when it has been silent.
        if self.files[at].known.is_done || (fate == Fate::Gone && self.files[at].is_idle) {
            let tracked = self.files.swap_remove(at);
            self.context.pace.release(&tracked.origin);
            self.past.push(tracked.known);
            return Some(Fill::Partition(tracked.origin, Activity::Ended));
        }
        if matches!(fate, Fate::Truncated | Fate::Replaced) {
            self.start_generation(at);
        }
        // The new generation may have no whole line yet: then it is found again by its glob.
        let tracked = self.files.get_mut(at)?;
        let since = *tracked.silent_since.get_or_insert(now);
        // An event that waits for its next line is given before its partition is held to be idle.
        let open = self.joining.as_ref().map_or(0, |joining| joining.timeout);
        if !tracked.is_idle && now - since >= self.context.idle_timeout + open {
            tracked.is_idle = true;
            self.context.pace.release(&tracked.origin);
            return Some(Fill::Partition(Arc::clone(&tracked.origin), Activity::Idle));
        }
        None
    }

    /// The path's file was replaced or truncated: the old one is over, the new one continues the partition.
    fn start_generation(&mut self, at: usize) {
        let path = self.files[at].path.clone();
        let tracked = self.files.swap_remove(at);
        if !tracked.carry.is_empty() {
            self.context.discarded.cut_bytes.increment(tracked.carry.len() as u64);
        }
        self.past.push(tracked.known);
        if let Ok(Some(next)) = self.open(path, false) {
            self.files.push(next);
        }
    }

    fn fill_now(&mut self, builder: &mut BatchBuilder) -> Fill {
        if self.files.is_empty() && !self.has_opened || (self.follow && self.context.clock.now() - self.looked >= GLOB_INTERVAL) {
            self.look();
        }
        if let Some(origin) = self.opening.pop() {
            return Fill::Partition(origin, Activity::Live);
        }
        if !self.has_opened {
            self.has_opened = true;
            return Fill::Opened;
        }
        let count = self.files.len();
        let mut paused = false;
        for step in 0..count {
            let at = (self.next + step) % self.files.len().max(1);
            if at >= self.files.len() || self.files[at].has_ended {
                continue;
            }
            if !self.context.pace.may_read(&self.files[at].origin) {
                paused = true;
                continue;
            }
            match self.read(at, builder) {
                Ok(Some(fill)) => {
                    self.next = at + 1;
                    return fill;
                }
                Ok(None) | Err(_) => {
                    if let Some(fill) = self.at_end(at) {
                        return fill;
                    }
                }
            }
        }
        if !self.follow && self.files.iter().all(|f| f.has_ended) {
            return Fill::End;
        }
        Fill::Wait(if paused { Duration::from_millis(1) } else { POLL })
    }
}

/// Whether a path still leads to a known file.
fn leads_to(path: &Path, compression: Compression, known: &Known) -> bool {
    let content = File::open(path).and_then(|file| Content::open(file, compression));
    content.is_ok_and(|mut content| {
        inode(content.file()).is_ok_and(|i| i == known.inode) && content.head(FIRST_LINE_MAX).is_ok_and(|head| begins_as(&head, known))
    })
}

impl FileSource {
    /// Opens every file that is there now, for reading.
    fn try_files(&self) -> Result<String, Outage> {
        let found: Vec<PathBuf> = self.matching().into_iter().filter(|path| path.is_file()).collect();
        for path in &found {
            File::open(path).map_err(|e| Outage::new(format!("{}: cannot be read: {e}", path.display())))?;
        }
        match found.len() {
            0 if !self.follow => Err(Outage::new(format!("no file matches {}", self.globs.join(", ")))),
            0 => Ok(format!("no file matches {} yet", self.globs.join(", "))),
            1 => Ok("1 file can be read".to_owned()),
            n => Ok(format!("{n} files can be read")),
        }
    }
}

impl Source for FileSource {
    fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        let read = |bytes: &[u8]| -> Result<Vec<Known>, StateError> {
            let mut reader = StateReader::new(bytes);
            let mut out = Vec::new();
            while !reader.is_empty() {
                out.push(Known::load(&mut reader)?);
            }
            Ok(out)
        };
        let known = from.map_or(Ok(Vec::new()), read);
        Box::pin(async move {
            self.past = known.map_err(|e| Outage::new(e.to_string()))?;
            self.found_nothing_new = !self.past.is_empty();
            self.look();
            self.opening.reverse();
            Ok(())
        })
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<String, Outage>> {
        let found = self.try_files();
        Box::pin(async { found })
    }

    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
        Box::pin(async move { Ok(self.fill_now(builder)) })
    }

    fn position(&self) -> Position {
        let mut out = StateWriter::default();
        // Generations that are over are kept a while, so that a renamed file is not read again.
        let past = self.past.iter().rev().take(FILES_MAX);
        self.files.iter().map(|f| &f.known).chain(past).for_each(|k| k.save(&mut out));
        out.bytes
    }

    fn is_exhausted_at_start(&self) -> bool {
        self.found_nothing_new
    }
}
