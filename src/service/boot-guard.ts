/**
 * The text of the boot guard, which runs right before supervisord: what it could not start with is out of its way by
 * then.
 */
import { createLayout, type Layout } from '../store/layout.ts';

/** Its second line begins so: a file that has it was written by gwe and may be replaced. */
const MARKER = '# boot guard of gwe:';

export function isBootGuard(text: string): boolean {
  return text.startsWith(`#!/bin/sh\n${MARKER}`);
}

/**
 * A POSIX script (dash, busybox sh) around a Python one (2.7 and 3): supervisord's own interpreter, found by its first
 * line, reads the configuration as supervisord will. `realize` has no side effect. It never fails the start: whatever
 * happens here, supervisord is tried next.
 *
 * Only entries of gwe are touched: by their first line, or, where a power cut has left less than that, by the app of
 * that name. Directories that they need and that a reboot has taken along are made. One that supervisord cannot read
 * by itself is moved to conf.d.bad with supervisord's words beside it, and gwe puts it back. gwe's own is put back
 * here, since nobody else would.
 */
export const BOOT_GUARD = `#!/bin/sh
${MARKER} sets aside what keeps supervisord from starting, and never fails its start
case $0 in */usr/local/lib/gwe/boot-guard) root=\${0%/usr/local/lib/gwe/boot-guard} ;; *) exit 0 ;; esac
for main in "$root/etc/supervisor/supervisord.conf" "$root/etc/supervisord.conf"; do
	[ -f "$main" ] && break
done
daemon=$(command -v supervisord || echo /usr/bin/supervisord)
line=
[ -r "$daemon" ] && read -r line <"$daemon"
case $line in '#!'*python*) python=\${line#??} ;; *) python=python3 ;; esac
limit=
timeout -s KILL 5 true 2>/dev/null && limit='timeout -s KILL 60'
$limit $python - "$root" "$main" <<'EOF'
import glob, os, re, sys
try:
    from configparser import RawConfigParser
except ImportError:
    from ConfigParser import RawConfigParser
from supervisor import options

root, main = sys.argv[1], sys.argv[2]
conf = root + '/etc/supervisor/conf.d'
prefix, suffix = '', '.conf'
bad = conf + '.bad'


def say(text):
    sys.stderr.write('gwe boot guard: ' + text + '\\n')


class Sink(object):
    def __init__(self):
        self.text = ''

    def write(self, text):
        self.text += text

    def flush(self):
        pass


class Files(object):
    """Stands in for the module glob: hides some files."""
    def __init__(self, hidden):
        self.hidden = hidden

    def glob(self, pattern):
        return [path for path in glob.glob(pattern) if os.path.realpath(path) not in self.hidden]


def complaint(hidden):
    """What supervisord says about its configuration without the hidden files; None if it would start."""
    sink = Sink()
    options.glob = Files(hidden)
    try:
        reader = options.ServerOptions()
        reader.stdout = reader.stderr = sink
        reader.realize(['-n', '-c', main])
        return None
    except SystemExit:
        return sink.text.strip().split('\\n')[0] or 'no reason given'
    except Exception as error:
        return '%s: %s' % (error.__class__.__name__, error)


def name_of(path):
    return os.path.basename(path)[len(prefix):-len(suffix)]


def is_own(path):
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, 'rb') as file:
        head = file.read(65536).decode('latin-1')
    name = name_of(path)
    mark = '; written by gwe for %s; changes are lost at the next update\\n' % name
    if head.startswith(mark):
        return True
    rest = head.strip('\\0 \\t\\r\\n')
    return mark.startswith(rest) and os.path.isdir(root + '/opt/gwe/apps/' + name)


def directories(path):
    """The directories of the log files of an entry, and its user."""
    name = name_of(path)
    parser = RawConfigParser()
    parser.read(path)
    values = dict(parser.items('program:' + name))
    names = dict(('ENV_' + key, value) for key, value in os.environ.items())
    names.update(here=conf, program_name=name, group_name=name, host_node_name=os.uname()[1])
    found = []
    names['numprocs'] = int(values.get('numprocs', 1))
    for number in range(names['numprocs']):
        names['process_num'] = number + int(values.get('numprocs_start', 0))
        for key in ('stdout_logfile', 'stderr_logfile'):
            log = values.get(key, '') % names % names
            if log.startswith('/') and not log.startswith('/dev/'):
                found.append(os.path.dirname(log))
    return found, values.get('user')


def make_directories(path):
    logs, user = directories(path)
    for log in logs:
        if not os.path.lexists(log):
            os.makedirs(log, 0o755)
            say('made the missing log directory ' + log)
    name = name_of(path)
    data = root + '/var/opt/gwe/' + name
    if name == 'gwe' or os.path.lexists(data):
        return
    if not os.path.isdir(os.path.dirname(data)):
        os.makedirs(os.path.dirname(data), 0o755)
    os.mkdir(data, 0o750)
    os.chmod(data, 0o750)
    if user:
        import pwd
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        os.chown(data, entry.pw_uid, entry.pw_gid)
    say('made the missing data directory ' + data)


def sync(directory):
    file = os.open(directory, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def set_aside(path, words):
    if not os.path.isdir(bad):
        os.makedirs(bad, 0o755)
    with open(os.path.join(bad, name_of(path) + '.why'), 'w') as file:
        file.write(words + '\\n')
    os.rename(path, os.path.join(bad, os.path.basename(path)))
    sync(conf)
    sync(bad)
    say('set aside %s: %s' % (path, words))


def attempt(work, *args):
    try:
        work(*args)
    except Exception as error:
        say('%s: %s' % (args[0], error))


own_service = os.path.join(bad, prefix + 'gwe' + suffix)
if os.path.isfile(own_service) and not os.path.lexists(os.path.join(conf, os.path.basename(own_service))):
    attempt(os.rename, own_service, os.path.join(conf, os.path.basename(own_service)))
everything = set(os.path.realpath(path) for path in glob.glob(os.path.join(conf, prefix + '*' + suffix)))
mine = sorted(path for path in glob.glob(os.path.join(conf, prefix + '*' + suffix)) if is_own(path))
for path in mine:
    attempt(make_directories, path)
if complaint(set()) is None:
    sys.exit(0)
if complaint(everything) is None:
    for path in mine:
        words = complaint(everything - set([os.path.realpath(path)]))
        if words is not None:
            attempt(set_aside, path, words)
words = complaint(set())
if words is not None:
    say('supervisord cannot start, and no entry of gwe is the cause:  ' + words)
EOF
exit 0
`;

type Place = Pick<
  Layout,
  'root' | 'programsDirectory' | 'programPrefix' | 'programSuffix' | 'supervisorConfig'
>;

/** The guard for where supervisord of this gateway has its files; as `BOOT_GUARD` where that is Debian's way. */
export function renderBootGuard(layout: Place): string {
  const usual = createLayout(layout.root);
  const lines: [usual: string, here: string][] = [];
  if (layout.supervisorConfig !== usual.supervisorConfig)
    lines.push([
      'for main in "$root/etc/supervisor/supervisord.conf" "$root/etc/supervisord.conf"; do',
      `for main in ${quoteShell(layout.supervisorConfig)}; do`,
    ]);
  if (layout.programsDirectory !== usual.programsDirectory)
    lines.push(["conf = root + '/etc/supervisor/conf.d'", `conf = ${quotePython(layout.programsDirectory)}`]);
  const { programPrefix, programSuffix } = layout;
  if (programPrefix !== usual.programPrefix || programSuffix !== usual.programSuffix)
    lines.push([
      "prefix, suffix = '', '.conf'",
      `prefix, suffix = ${quotePython(programPrefix)}, ${quotePython(programSuffix)}`,
    ]);
  return lines.reduce((text, [from, to]) => text.replace(from, () => to), BOOT_GUARD);
}

function quoteShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function quotePython(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
