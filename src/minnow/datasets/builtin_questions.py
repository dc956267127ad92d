"""Questions about Python's standard library, with the docstrings that answer them.

Each is what a programmer might type who does not know the name; the last part of an answer's name
does not occur in its question. All answers exist in Python 3.10 to 3.13. Where several docstrings
answer a question equally well, all of them are listed.
"""

from __future__ import annotations

QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # --- programs and their options
    (
        "show the default values of all arguments in the --help output",
        ("argparse.ArgumentDefaultsHelpFormatter",),
    ),
    (
        "keep my own line breaks in the help output of a program",
        ("argparse.RawDescriptionHelpFormatter", "argparse.RawTextHelpFormatter"),
    ),
    (
        "settings file in which a value refers to another section's value",
        ("configparser.ExtendedInterpolation",),
    ),
    ("save changed settings back to an ini file", ("configparser.RawConfigParser.write",)),
    (
        "ask for a secret in the terminal without showing the typed characters",
        ("getpass.unix_getpass", "getpass.win_getpass"),
    ),
    ("login name of the person running the script", ("getpass.getuser",)),
    (
        "how many characters wide is the user's console window",
        ("shutil.get_terminal_size",),
    ),
    # --- asyncio
    (
        "call a blocking function in another thread and await its result",
        ("asyncio.to_thread",),
    ),
    ("run several coroutines concurrently and get a list of their results", ("asyncio.gather",)),
    ("give up on an awaitable after five seconds", ("asyncio.wait_for",)),
    ("protect a coroutine from being cancelled together with its caller", ("asyncio.shield",)),
    (
        "hand a coroutine to an event loop that belongs to another thread",
        ("asyncio.run_coroutine_threadsafe",),
    ),
    (
        "receive a fixed number of bytes from an async connection, fail if it ends early",
        ("asyncio.StreamReader.readexactly",),
    ),
    ("handle async results one by one, whichever is ready first", ("asyncio.as_completed",)),
    (
        "wait until buffered async output has gone out over the network",
        ("asyncio.StreamWriter.drain",),
    ),
    # --- encodings, hashes, secrets
    (
        "represent binary data as text for a web address, without plus signs or slashes",
        ("base64.urlsafe_b64encode",),
    ),
    (
        "random string for a password reset link",
        ("secrets.token_urlsafe", "secrets.token_hex"),
    ),
    ("unique identifier made of the clock and the network card", ("uuid.uuid1",)),
    ("the same identifier every time for the same name", ("uuid.uuid5", "uuid.uuid3")),
    (
        "compute an authentication code of a message with a secret key",
        ("hmac.new", "hmac.digest", "hmac.HMAC"),
    ),
    # --- ordered lists and heaps
    (
        "at which position does a value belong in an already ordered list",
        ("bisect.bisect_left", "bisect.bisect_right"),
    ),
    (
        "put an element into a list without destroying its order",
        ("bisect.insort_right", "bisect.insort_left"),
    ),
    ("the ten biggest elements of a long list", ("heapq.nlargest",)),
    ("combine several sorted streams into one", ("heapq.merge",)),
    (
        "order the nodes of a dependency graph so that prerequisites come first",
        ("graphlib.TopologicalSorter", "graphlib.TopologicalSorter.static_order"),
    ),
    # --- containers
    ("search several dictionaries as if they were one", ("collections.ChainMap",)),
    (
        "which words occur most often in a text",
        ("collections.Counter.most_common", "collections.Counter"),
    ),
    (
        "tuple class whose elements also have names",
        ("collections.namedtuple",),
    ),
    (
        "make a dictionary entry the last one, as a least recently used cache does",
        ("collections.OrderedDict.move_to_end",),
    ),
    ("copy an object together with everything nested in it", ("copy.deepcopy",)),
    (
        "convert a dataclass instance into a dictionary",
        ("dataclasses.asdict",),
    ),
    (
        "changed version of a frozen instance, with one attribute different",
        ("dataclasses.replace",),
    ),
    ("let enumeration members get a suitable value by themselves", ("enum.auto",)),
    ("forbid two enumeration members with the same value", ("enum.unique",)),
    (
        "mapping that drops an entry when its value is no longer referenced elsewhere",
        ("weakref.WeakValueDictionary",),
    ),
    ("call a function as soon as an object is garbage collected", ("weakref.finalize",)),
    ("sort a list of tuples by their second element", ("operator.itemgetter",)),
    (
        "dictionary that is stored in a file and survives the program",
        ("shelve.open", "shelve.DbfilenameShelf"),
    ),
    # --- dates
    ("is 2024 a leap year", ("calendar.isleap",)),
    ("how many days are there in a given month", ("calendar.monthrange",)),
    ("convert a GMT time tuple to a Unix timestamp", ("calendar.timegm",)),
    (
        "parse a date and time string according to a given format",
        ("datetime.datetime.strptime",),
    ),
    ("in which ISO week of the year is a day", ("datetime.date.isocalendar",)),
    ("join a day and a time of day into one value", ("datetime.datetime.combine",)),
    (
        "get day and time from seconds since the epoch",
        ("datetime.datetime.fromtimestamp", "datetime.datetime.utcfromtimestamp"),
    ),
    # --- functions and with blocks
    ("swallow certain exceptions inside a with statement", ("contextlib.suppress",)),
    (
        "open a number of files not known in advance and close them all at the end",
        ("contextlib.ExitStack",),
    ),
    (
        "write a helper for the with statement as a generator with one yield",
        ("contextlib.contextmanager",),
    ),
    ("send everything that is printed into a file for a while", ("contextlib.redirect_stdout",)),
    ("with block that does nothing, where a real one is optional", ("contextlib.nullcontext",)),
    (
        "remember what an expensive function returned so as not to compute it twice",
        ("functools.lru_cache", "functools.cache"),
    ),
    ("fix some arguments of a function in advance", ("functools.partial",)),
    (
        "keep a function's original name and docstring when decorating it",
        ("functools.wraps", "functools.update_wrapper"),
    ),
    (
        "choose a function's implementation by the type of its first argument",
        ("functools.singledispatch",),
    ),
    ("use an old comparison function as the key for sorting", ("functools.cmp_to_key",)),
    (
        "class decorator that adds the comparison methods I did not write",
        ("functools.total_ordering",),
    ),
    (
        "names and default values of a function's parameters",
        ("inspect.signature", "inspect.getfullargspec", "inspect.Signature.from_callable"),
    ),
    (
        "source code of a function as text",
        ("inspect.getsource", "inspect.getsourcelines"),
    ),
    ("find out whether a function was written with async def", ("inspect.iscoroutinefunction",)),
    ("look at an attribute without running properties", ("inspect.getattr_static",)),
    ("safely evaluate a string that contains a Python list or dict", ("ast.literal_eval",)),
    # --- files and folders
    ("are two files the same in content", ("filecmp.cmp",)),
    (
        "iterate over the lines of several files as if they were one",
        ("fileinput.input", "fileinput.FileInput"),
    ),
    ("turn a shell wildcard into a regular expression", ("fnmatch.translate",)),
    ("find all files whose name ends in .txt, in subfolders too", ("glob.glob", "glob.iglob")),
    ("create a folder together with its missing parents", ("os.makedirs",)),
    ("visit each folder below a starting point and see the files in it", ("os.walk", "os.fwalk")),
    ("read an environment variable or fall back to something else", ("os.getenv",)),
    ("replace the tilde by the user's home folder", ("os.path.expanduser",)),
    ("where does a path lead once symbolic links are followed", ("os.path.realpath",)),
    ("file name without the folders before it", ("os.path.basename",)),
    ("deepest folder that several files share", ("os.path.commonpath",)),
    ("how many bytes does a file have", ("os.path.getsize",)),
    ("delete a folder with everything in it", ("shutil.rmtree",)),
    ("where is a program found on the search path", ("shutil.which",)),
    ("copy a file with its metadata such as timestamps", ("shutil.copy2",)),
    ("how much room is left on the hard drive", ("shutil.disk_usage",)),
    ("create a zip or tar file of a whole folder", ("shutil.make_archive",)),
    (
        "scratch folder that disappears when the block ends",
        ("tempfile.TemporaryDirectory",),
    ),
    (
        "scratch file that stays in memory until it grows too big",
        ("tempfile.SpooledTemporaryFile",),
    ),
    ("gzip a byte string that is in memory", ("gzip.compress",)),
    ("read a gzipped file as text", ("gzip.open",)),
    ("unpack all files of a tar archive", ("tarfile.TarFile.extractall", "shutil.unpack_archive")),
    (
        "what are the members of a tar archive",
        ("tarfile.TarFile.getnames", "tarfile.TarFile.list", "tarfile.TarFile.getmembers"),
    ),
    ("tell whether a download is really a zip archive", ("zipfile.is_zipfile",)),
    ("put a text that is in memory into an archive as a member", ("zipfile.ZipFile.writestr",)),
    # --- text
    (
        "guess which delimiter a CSV file uses",
        ("csv.Sniffer.sniff", "csv.Sniffer"),
    ),
    ("suggest the right spelling of a mistyped word", ("difflib.get_close_matches",)),
    ("show what changed between two versions of a file, like git", ("difflib.unified_diff",)),
    ("how similar are two strings, from 0 to 1", ("difflib.SequenceMatcher.ratio",)),
    ("replace all matches of a regular expression", ("re.sub", "re.subn")),
    ("cut a string into pieces wherever a pattern occurs", ("re.split",)),
    ("does the whole string fit the pattern, not just its beginning", ("re.fullmatch",)),
    ("fill placeholders like $name in a text", ("string.Template",)),
    ("remove the margin that all lines of a text have in common", ("textwrap.dedent",)),
    ("cut a long sentence off and end it with [...]", ("textwrap.shorten",)),
    ("break a paragraph into lines of at most 70 characters", ("textwrap.wrap", "textwrap.fill")),
    ("print a nested structure so that people can read it", ("pprint.pprint", "pprint.pformat")),
    ("make a file name safe for a shell command", ("shlex.quote",)),
    ("cut a command line into arguments as a Unix shell does", ("shlex.split",)),
    ("write an amount of money as is usual in the user's country", ("locale.currency",)),
    (
        "convert a number string in the user's language to a float",
        ("locale.atof", "locale.delocalize"),
    ),
    # --- JSON, XML, HTML
    ("write a Python object to a file as JSON", ("json.dump",)),
    ("parse a JSON string", ("json.loads", "json.JSONDecoder.decode", "json.JSONDecoder")),
    (
        "teach the JSON serializer about my own class",
        ("json.JSONEncoder.default", "json.JSONEncoder"),
    ),
    ("parse a large XML file incrementally", ("xml.etree.ElementTree.iterparse",)),
    ("put line breaks and spaces into XML to make it readable", ("xml.etree.ElementTree.indent",)),
    ("get an XML element and its children as text", ("xml.etree.ElementTree.tostring",)),
    ("show what a visitor typed on a web page without letting it act as markup", ("html.escape",)),
    ("turn &amp; and &lt; back into characters", ("html.unescape",)),
    # --- logging and warnings
    ("set up the log level and output format once for the whole program", ("logging.basicConfig",)),
    (
        "log an error together with its traceback",
        ("logging.Logger.exception", "logging.exception"),
    ),
    (
        "attach contextual information such as a request id to all log calls",
        ("logging.LoggerAdapter", "logging.LoggerAdapter.process"),
    ),
    ("keep a library quiet when the application has not set up a log", ("logging.NullHandler",)),
    ("send warnings to the log", ("logging.captureWarnings",)),
    ("change the warning filters only inside a with block", ("warnings.catch_warnings",)),
    # --- network
    (
        "is this IPv4 number from a home network, like 192.168",
        ("ipaddress.IPv4Address.is_private",),
    ),
    ("merge neighbouring subnets into fewer", ("ipaddress.collapse_addresses",)),
    (
        "make an object of a subnet like 10.0.0.0/8",
        ("ipaddress.ip_network", "ipaddress.IPv4Network"),
    ),
    ("make a URL query string from a dictionary", ("urllib.parse.urlencode",)),
    ("make a relative link absolute", ("urllib.parse.urljoin",)),
    ("decode %20 and the like", ("urllib.parse.unquote", "urllib.parse.unquote_plus")),
    (
        "take a URL apart into scheme, host, path and query",
        ("urllib.parse.urlsplit", "urllib.parse.urlparse"),
    ),
    ("may my crawler visit this page", ("urllib.robotparser.RobotFileParser.can_fetch",)),
    (
        "find the MIME type of a file by its name",
        ("mimetypes.guess_type", "mimetypes.MimeTypes.guess_type"),
    ),
    # --- numbers and chance
    ("approximate pi by a ratio of two small integers", ("fractions.Fraction.limit_denominator",)),
    ("draw several winners with weights, the same one may win twice", ("random.Random.choices",)),
    ("pick several different random elements of a population", ("random.Random.sample",)),
    ("randomly reorder a list", ("random.Random.shuffle",)),
    ("roll a die", ("random.Random.randint",)),
    ("initialise the random generator so that results can be repeated", ("random.Random.seed",)),
    ("value in the middle of sorted numbers", ("statistics.median",)),
    (
        "how far do numbers scatter around their average",
        ("statistics.stdev", "statistics.pstdev", "statistics.variance", "statistics.pvariance"),
    ),
    ("fit a straight line to data: slope and intercept", ("statistics.linear_regression",)),
    (
        "do two series of measurements rise and fall together",
        ("statistics.correlation", "statistics.covariance"),
    ),
    ("average growth factor over several years", ("statistics.geometric_mean",)),
    # --- processes and threads
    (
        "apply a function to each element of an iterable in parallel",
        ("concurrent.futures.Executor.map",),
    ),
    ("be notified when a background job ends", ("concurrent.futures.Future.add_done_callback",)),
    (
        "execute a command and capture its output",
        ("subprocess.check_output", "subprocess.getoutput", "subprocess.run"),
    ),
    ("feed text to a child process and read its answer", ("subprocess.Popen.communicate",)),
    ("thread-safe queue that hands out the smallest entry first", ("queue.PriorityQueue",)),
    ("wait until all entries of a thread-safe queue have been processed", ("queue.Queue.join",)),
    ("call a function once, after a delay, in the background", ("threading.Timer",)),
    ("lock that the same thread may acquire more than once", ("threading.RLock",)),
    (
        "make a fixed number of threads meet at one point",
        ("threading.Barrier", "threading.Barrier.wait"),
    ),
    # --- tests and diagnosis
    ("how long does a code snippet take", ("timeit.timeit", "timeit.Timer.timeit", "timeit.Timer")),
    (
        "what changed in memory allocations between two snapshots",
        ("tracemalloc.Snapshot.compare_to",),
    ),
    ("test that a function throws a certain exception", ("unittest.TestCase.assertRaises",)),
    ("compare floats in a test with some tolerance", ("unittest.TestCase.assertAlmostEqual",)),
    ("tidy up after a test even if its preparation failed", ("unittest.TestCase.addCleanup",)),
    (
        "distinguish several iterations of a loop inside one test method",
        ("unittest.TestCase.subTest",),
    ),
    ("temporarily replace an attribute of a module by a mock object", ("unittest.mock.patch",)),
    (
        "verify that the fake was invoked a single time with these arguments",
        ("unittest.mock.NonCallableMock.assert_called_once_with",),
    ),
    ("mock the built-in function that reads files", ("unittest.mock.mock_open",)),
)
