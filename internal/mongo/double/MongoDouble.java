import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.wire.MongoDatabaseHandler;
import de.bwaldvogel.mongo.wire.MongoExceptionHandler;
import de.bwaldvogel.mongo.wire.MongoWireMessageEncoder;
import de.bwaldvogel.mongo.wire.MongoWireProtocolHandler;
import de.bwaldvogel.mongo.wire.MongoWireReplyEncoder;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.util.concurrent.EventExecutorGroup;
import io.netty.util.concurrent.GlobalEventExecutor;
import io.netty.util.concurrent.UnorderedThreadPoolEventExecutor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.net.InetSocketAddress;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A MongoDB double for tests: mongo-java-server, made acceptable to the Go driver v2 (wire version 13, a one-member
 * replica set "rs0", sessions), atomic (one command at a time, replies copied), with retryable writes remembered by
 * (lsid, txnNumber), multi-document transactions, and with what it cannot do refused instead of ignored.
 *
 * Transactions are strictly serial: while one is open, every other session waits; abort, an error in a statement, the
 * loss of its connection, if half a second later its session has not come by another one, or 30 s put its pre-images back. -Dconflicts=P answers a statement with WriteConflict, and
 * -DunknownCommit=P a commit, after it took effect, with an unknown result, each with probability P: what a real
 * server does under contention and failover, and what the driver's WithTransaction must survive.
 *
 * Snapshot reads outside transactions (readConcern snapshot, atClusterTime) are answered by taking back, for the time of the
 * read, what was written since; each holds what it needs for a minute.
 *
 * -Dstandalone=true is a server that is no replica set, and -Dwire=9 one of an older version.
 *
 * Usage: java -cp 'libs/*' MongoDouble.java PORT [FILE]   (FILE: keep the data in an H2 file). Prints "READY port".
 */
public class MongoDouble {
  static final Map<String, Document> replies = new LinkedHashMap<>() {
    protected boolean removeEldestEntry(Map.Entry<String, Document> e) { return size() > 20_000; }
  };
  static final Map<String, Boolean> committed = new LinkedHashMap<>() {
    protected boolean removeEldestEntry(Map.Entry<String, Boolean> e) { return size() > 20_000; }
  };
  static final double conflicts = Double.parseDouble(System.getProperty("conflicts", "0"));
  static final double unknownCommit = Double.parseDouble(System.getProperty("unknownCommit", "0"));
  static final boolean standalone = Boolean.getBoolean("standalone");
  static final int wire = Integer.getInteger("wire", 13);
  static int port;
  static MongoBackend backend;

  // The open transaction, guarded by backend: its key, its last connection, its age, since when it has none, and how to take it back.
  static String open;
  static Channel openOn;
  static long openSince, lostSince;
  static final Deque<Runnable> undo = new ArrayDeque<>();

  public static void main(String[] args) {
    backend = args.length > 1 ? new H2Backend(args[1]) : new MemoryBackend();
    backend.version(new MongoVersion() {
      public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
      public int getWireVersion() { return wire; }
    });
    MongoBackend served = (MongoBackend) Proxy.newProxyInstance(MongoDouble.class.getClassLoader(), new Class<?>[] {MongoBackend.class}, (proxy, method, a) -> {
      try {
        if (method.getName().equals("handleMessage")) return handle((MongoMessage) a[0]);
        if (method.getName().equals("handleClose")) synchronized (backend) { if (open != null && a[0] == openOn) lostSince = System.currentTimeMillis(); }
        Object reply = method.invoke(backend, a);
        return method.getName().equals("handleCommand") && a[2].toString().equalsIgnoreCase("ismaster") ? hello((Document) reply) : reply;
      } catch (InvocationTargetException e) { throw e.getCause(); }
    });
    port = ((InetSocketAddress) listen(served, Integer.parseInt(args[0])).localAddress()).getPort();
    Runtime.getRuntime().addShutdownHook(new Thread(backend::close));
    System.out.println("READY " + port);
  }

  /**
   * Serves as MongoServer does, but that a command never waits for a thread which another connection's command holds: one that waits for the open
   * transaction to end would hold up that transaction's own next statement.
   */
  static Channel listen(MongoBackend served, int port) {
    EventLoopGroup io = new MultiThreadIoEventLoopGroup(2, NioIoHandler.newFactory());
    EventExecutorGroup commands = new UnorderedThreadPoolEventExecutor(1024);
    ChannelGroup channels = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE);
    return new ServerBootstrap().group(io).channel(NioServerSocketChannel.class).option(ChannelOption.SO_BACKLOG, 1024)
        .childOption(ChannelOption.TCP_NODELAY, true).childHandler(new ChannelInitializer<SocketChannel>() {
          protected void initChannel(SocketChannel channel) {
            channel.pipeline().addLast(new MongoWireReplyEncoder(), new MongoWireMessageEncoder(), new MongoWireProtocolHandler())
                .addLast(commands, new MongoDatabaseHandler(served, channels), new MongoExceptionHandler());
          }
        }).bind("127.0.0.1", port).syncUninterruptibly().channel();
  }

  static Document handle(MongoMessage message) {
    Document doc = message.getDocument();
    String command = doc.keySet().iterator().next();
    if (standalone && doc.containsKey("autocommit")) throw new MongoServerError(20, "IllegalOperation", "Transaction numbers are only allowed on a replica set member or mongos");
    if (command.equals("hello") || command.equalsIgnoreCase("ismaster")) return hello(backend.handleCommand(message.getChannel(), "admin", "ismaster", doc));
    for (String k : List.of("collation", "hint"))
      if (doc.containsKey(k)) throw new MongoServerError(2, "BadValue", k + " is not supported by this double");
    String key = doc.containsKey("txnNumber") ? doc.get("lsid") + "/" + doc.get("txnNumber") : null;
    synchronized (backend) {
      if (doc.containsKey("autocommit")) return inTransaction(message, doc, command, key);
      if (!await(message.getChannel())) throw new MongoServerError(24, "LockTimeout", "transactions were open for 50 s");
      Document reply = key == null ? null : replies.get(key);
      if (reply != null) return reply;
      if (isSnapshot(doc)) return readSnapshot(message, doc, command);
      keepForSnapshots(message, doc, command);
      reply = execute(message, doc, command);
      forgetUpserts(message, doc, command, reply);
      if (key != null) replies.put(key, reply);
      return reply;
    }
  }

  static Document execute(MongoMessage message, Document doc, String command) {
    boolean several = command.equals("update") && ((List<?>) doc.get("updates")).size() > 1 && !Boolean.FALSE.equals(doc.get("ordered"));
    Document reply = several ? orderedUpdates(message, doc) : backend.handleCommand(message.getChannel(), message.getDatabaseName(), command, doc);
    if (command.equals("insert") && reply.get("writeErrors") instanceof List<?> errors && !errors.isEmpty()) {
      int all = ((List<?>) doc.get("documents")).size();
      reply.put("n", Boolean.FALSE.equals(doc.get("ordered")) ? all - errors.size() : ((Document) errors.get(0)).get("index"));
    }
    return reply.cloneDeeply();
  }

  // Those that wait for the open transaction to end, in the order in which they came.
  static final Deque<Object> waiting = new ArrayDeque<>();

  /** Waits until no transaction is open and who came first is through; false after 50 s, or when the client has gone. */
  static boolean await(Channel client) {
    long deadline = System.currentTimeMillis() + 50_000;
    Object turn = new Object();
    waiting.addLast(turn);
    try {
      while (open != null || waiting.peekFirst() != turn) {
        long now = System.currentTimeMillis();
        if (open != null && (now - openSince > 30_000 || lostSince != 0 && now - lostSince > 500)) rollback();
        else if (now > deadline || !client.isActive()) return false;
        else try { backend.wait(200); } catch (InterruptedException e) { return false; }
      }
      return client.isActive();
    } finally {
      waiting.remove(turn);
      backend.notifyAll();
    }
  }

  static Document inTransaction(MongoMessage message, Document doc, String command, String key) {
    boolean commit = command.equals("commitTransaction");
    if (commit && committed.containsKey(key)) return new Document("ok", 1.0);
    if (doc.containsKey("startTransaction")) {
      // A session has one transaction: to begin the next is to give up the last, of which the word may have been lost.
      if (open != null && open.startsWith(doc.get("lsid") + "/")) rollback();
      if (!await(message.getChannel())) return transactionError(112, "WriteConflict", "TransientTransactionError");
      open = key;
      openSince = System.currentTimeMillis();
      undo.clear();
    } else if (!key.equals(open)) {
      return command.equals("abortTransaction") ? new Document("ok", 1.0) : transactionError(251, "NoSuchTransaction", "TransientTransactionError");
    }
    openOn = message.getChannel();
    // What a client has said before it died may come up behind the news of its death.
    lostSince = openOn.isActive() ? 0 : System.currentTimeMillis();
    if (command.equals("abortTransaction")) {
      rollback();
      return new Document("ok", 1.0);
    }
    if (chance(conflicts)) {
      rollback();
      return transactionError(112, "WriteConflict", "TransientTransactionError");
    }
    if (commit) {
      committed.put(key, true);
      undo.clear();
      close();
      return chance(unknownCommit) ? transactionError(91, "ShutdownInProgress", "UnknownTransactionCommitResult", "RetryableWriteError") : new Document("ok", 1.0);
    }
    try {
      remember(message, doc, command);
      keepForSnapshots(message, doc, command);
      Document reply = execute(message, doc, command);
      undoUpserts(message, doc, command, reply);
      forgetUpserts(message, doc, command, reply);
      if (reply.get("writeErrors") instanceof List<?> errors && !errors.isEmpty()) rollback();
      return reply;
    } catch (RuntimeException | Error e) {
      rollback();
      throw e;
    }
  }

  /** Keeps the pre-images of what a statement may change. */
  static void remember(MongoMessage message, Document doc, String command) {
    String collection = String.valueOf(doc.get(command));
    switch (command) {
      case "insert" -> {
        for (Object d : (List<?>) doc.get("documents")) {
          Document id = new Document("_id", ((Document) d).get("_id"));
          if (find(message, collection, id).isEmpty()) undo.push(() -> delete(message, collection, id));
        }
      }
      case "update" -> { for (Object u : (List<?>) doc.get("updates")) keep(message, collection, (Document) ((Document) u).get("q")); }
      case "delete" -> { for (Object d : (List<?>) doc.get("deletes")) keep(message, collection, (Document) ((Document) d).get("q")); }
      case "findAndModify", "findandmodify" -> keep(message, collection, (Document) doc.get("query"));
      default -> { }
    }
  }

  static void keep(MongoMessage message, String collection, Document filter) {
    for (Document before : find(message, collection, filter)) undo.push(() -> {
      Document update = new Document("q", new Document("_id", before.get("_id"))).append("u", before).append("upsert", true);
      run(message, "update", new Document("update", collection).append("updates", List.of(update)));
    });
  }

  static void undoUpserts(MongoMessage message, Document doc, String command, Document reply) {
    String collection = String.valueOf(doc.get(command));
    if (reply.get("upserted") instanceof Collection<?> ids) for (Object x : ids) undo.push(() -> delete(message, collection, new Document("_id", ((Document) x).get("_id"))));
    if (reply.get("lastErrorObject") instanceof Document last && last.get("upserted") != null) undo.push(() -> delete(message, collection, new Document("_id", last.get("upserted"))));
  }

  static List<Document> find(MongoMessage message, String collection, Document filter) {
    Document reply = run(message, "find", new Document("find", collection).append("filter", filter == null ? new Document() : filter).append("batchSize", 100_000).append("singleBatch", true));
    List<Document> found = new ArrayList<>();
    for (Object d : (Collection<?>) ((Document) reply.get("cursor")).get("firstBatch")) found.add(((Document) d).cloneDeeply());
    return found;
  }

  static void delete(MongoMessage message, String collection, Document filter) {
    run(message, "delete", new Document("delete", collection).append("deletes", List.of(new Document("q", filter).append("limit", 0))));
  }

  static Document run(MongoMessage message, String command, Document doc) {
    return backend.handleCommand(message.getChannel(), message.getDatabaseName(), command, doc);
  }

  // What was there before each write of the last minute, oldest first, while anybody has read a snapshot within it.
  record Old(int at, long since, String database, String collection, Object id, Document before) { }
  static final Deque<Old> history = new ArrayDeque<>();
  static int clock = 1;
  static long lastSnapshot;

  static boolean isSnapshot(Document doc) {
    return doc.get("readConcern") instanceof Document concern && "snapshot".equals(concern.get("level"));
  }

  static void keepForSnapshots(MongoMessage message, Document doc, String command) {
    long now = System.currentTimeMillis();
    while (!history.isEmpty() && now - history.peekFirst().since() > 60_000) history.pollFirst();
    if (now - lastSnapshot > 60_000) {
      history.clear();
      return;
    }
    String collection = String.valueOf(doc.get(command));
    clock++;
    switch (command) {
      case "insert" -> { for (Object d : (List<?>) doc.get("documents")) keepOld(message, collection, new Document("_id", ((Document) d).get("_id")), ((Document) d).get("_id")); }
      case "update" -> { for (Object u : (List<?>) doc.get("updates")) keepOld(message, collection, (Document) ((Document) u).get("q"), null); }
      case "delete" -> { for (Object d : (List<?>) doc.get("deletes")) keepOld(message, collection, (Document) ((Document) d).get("q"), null); }
      case "findAndModify", "findandmodify" -> keepOld(message, collection, (Document) doc.get("query"), null);
      default -> clock--;
    }
  }

  static void keepOld(MongoMessage message, String collection, Document filter, Object inserted) {
    List<Document> found = find(message, collection, filter);
    for (Document before : found) history.addLast(new Old(clock, System.currentTimeMillis(), message.getDatabaseName(), collection, before.get("_id"), before));
    if (found.isEmpty() && inserted != null) history.addLast(new Old(clock, System.currentTimeMillis(), message.getDatabaseName(), collection, inserted, null));
  }

  static void forgetUpserts(MongoMessage message, Document doc, String command, Document reply) {
    if (history.isEmpty() && System.currentTimeMillis() - lastSnapshot > 60_000) return;
    String collection = String.valueOf(doc.get(command));
    if (reply.get("upserted") instanceof Collection<?> ids)
      for (Object x : ids) history.addLast(new Old(clock, System.currentTimeMillis(), message.getDatabaseName(), collection, ((Document) x).get("_id"), null));
  }

  /** Reads as of a moment: puts back what was there then, reads all that is asked for, and puts what is there now back again. */
  static Document readSnapshot(MongoMessage message, Document doc, String command) {
    lastSnapshot = System.currentTimeMillis();
    Document concern = (Document) doc.get("readConcern");
    int at = concern.get("atClusterTime") instanceof BsonTimestamp t ? t.getInc() : clock;
    Map<String, Old> then = new LinkedHashMap<>();
    for (Old old : history)
      if (old.at() > at && old.database().equals(message.getDatabaseName()) && old.collection().equals(String.valueOf(doc.get(command))))
        then.putIfAbsent(old.collection() + "/" + old.id(), old);
    Deque<Runnable> back = new ArrayDeque<>();
    try {
      for (Old old : then.values()) {
        Document id = new Document("_id", old.id());
        List<Document> now = find(message, old.collection(), id);
        if (old.before() == null && now.isEmpty()) continue;
        delete(message, old.collection(), id);
        if (old.before() != null) run(message, "insert", new Document("insert", old.collection()).append("documents", List.of(old.before().cloneDeeply())));
        back.push(() -> {
          delete(message, old.collection(), id);
          if (!now.isEmpty()) run(message, "insert", new Document("insert", old.collection()).append("documents", List.of(now.get(0))));
        });
      }
      // The rest of a cursor would be read later, when what was put back is gone.
      Document whole = doc.clone();
      if (command.equals("find")) whole.append("batchSize", 100_000);
      Document reply = execute(message, whole, command);
      if (reply.get("cursor") instanceof Document cursor) cursor.append("atClusterTime", new BsonTimestamp((1L << 32) | at));
      return reply;
    } finally {
      while (!back.isEmpty()) back.pop().run();
    }
  }

  static void rollback() {
    while (!undo.isEmpty()) undo.pop().run();
    close();
  }

  static void close() {
    open = null;
    openOn = null;
    lostSince = 0;
    backend.notifyAll();
  }

  static boolean chance(double p) { return p > 0 && ThreadLocalRandom.current().nextDouble() < p; }

  static Document transactionError(int code, String name, String... labels) {
    return new Document("ok", 0.0).append("errmsg", name).append("code", code).append("codeName", name).append("errorLabels", List.of(labels));
  }

  static Document hello(Document reply) {
    if (standalone) return reply.append("helloOk", true).append("isWritablePrimary", true).append("logicalSessionTimeoutMinutes", 30);
    String me = "127.0.0.1:" + port;
    return reply.append("helloOk", true).append("isWritablePrimary", true).append("secondary", false).append("setName", "rs0").append("setVersion", 1)
        .append("hosts", List.of(me)).append("me", me).append("primary", me).append("logicalSessionTimeoutMinutes", 30);
  }

  /** An ordered batch of updates stops at its first error; the library alone would go on. */
  static Document orderedUpdates(MongoMessage message, Document doc) {
    int matched = 0, modified = 0, i = 0;
    List<Object> upserted = new ArrayList<>(), errors = new ArrayList<>();
    for (Object update : (List<?>) doc.get("updates")) {
      Document one = doc.clone();
      one.put("updates", List.of(update));
      Document r = backend.handleCommand(message.getChannel(), message.getDatabaseName(), "update", one);
      matched += ((Number) r.get("n")).intValue();
      modified += ((Number) r.get("nModified")).intValue();
      if (r.get("upserted") != null) for (Object x : (Collection<?>) r.get("upserted")) upserted.add(((Document) x).append("index", i));
      if (r.get("writeErrors") != null) {
        for (Object x : (Collection<?>) r.get("writeErrors")) errors.add(((Document) x).append("index", i));
        break;
      }
      i++;
    }
    Document reply = new Document("n", matched).append("nModified", modified);
    if (!upserted.isEmpty()) reply.put("upserted", upserted);
    if (!errors.isEmpty()) reply.put("writeErrors", errors);
    return reply.append("ok", 1.0);
  }
}
