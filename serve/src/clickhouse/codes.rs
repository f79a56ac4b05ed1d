//! Which errors of ClickHouse are about the rows of an insert.
//!
//! A row that is refused is put aside, so an error of the server itself must not be taken for one of the rows. An error
//! that this list does not have is taken for one of the rows, because a row that no server takes would hold up all others.
//! An error that an insert without rows has too needs no place here: nothing is put aside then.

/// Errors that are not about the rows of an insert. Numbers and names are ClickHouse's own, from its `ErrorCodes.cpp`.
const NOT_OF_ROWS: &[u32] = &[
    // The server cannot use its files, its network or its memory.
    74,   // CANNOT_READ_FROM_FILE_DESCRIPTOR
    75,   // CANNOT_WRITE_TO_FILE_DESCRIPTOR
    76,   // CANNOT_OPEN_FILE
    77,   // CANNOT_CLOSE_FILE
    83,   // DIRECTORY_DOESNT_EXIST
    84,   // DIRECTORY_ALREADY_EXISTS
    87,   // CANNOT_SEEK_THROUGH_FILE
    88,   // CANNOT_TRUNCATE_FILE
    95,   // CANNOT_READ_FROM_SOCKET
    96,   // CANNOT_WRITE_TO_SOCKET
    107,  // FILE_DOESNT_EXIST
    172,  // CANNOT_CREATE_DIRECTORY
    173,  // CANNOT_ALLOCATE_MEMORY
    198,  // DNS_ERROR
    204,  // CANNOT_FSYNC
    209,  // SOCKET_TIMEOUT
    210,  // NETWORK_ERROR
    214,  // CANNOT_STATVFS
    239,  // CANNOT_MUNMAP
    240,  // CANNOT_MREMAP
    241,  // MEMORY_LIMIT_EXCEEDED
    243,  // NOT_ENOUGH_SPACE
    272,  // CANNOT_IO_SUBMIT
    273,  // CANNOT_IO_GETEVENTS
    274,  // AIO_READ_ERROR
    275,  // AIO_WRITE_ERROR
    303,  // CANNOT_SELECT
    400,  // CANNOT_STAT
    411,  // PTHREAD_ERROR
    424,  // CANNOT_LINK
    425,  // SYSTEM_ERROR
    454,  // OPENSSL_ERROR
    458,  // CANNOT_UNLINK
    481,  // PATH_ACCESS_DENIED
    499,  // S3_ERROR
    500,  // AZURE_BLOB_STORAGE_ERROR
    504,  // FILE_ALREADY_EXISTS
    521,  // ATOMIC_RENAME_FAIL
    531,  // CANNOT_FSTAT
    566,  // CANNOT_RMDIR
    573,  // EPOLL_ERROR
    586,  // CANNOT_CREATE_FILE
    635,  // CANNOT_POLL
    641,  // CANNOT_APPEND_TO_FILE
    660,  // HDFS_ERROR
    662,  // FS_METADATA_ERROR
    693,  // AWS_ERROR
    707,  // GCP_ERROR
    711,  // FILECACHE_ACCESS_DENIED
    734,  // CANNOT_WRITE_AFTER_BUFFER_CANCELED
    737,  // GOOGLE_CLOUD_ERROR
    771,  // CACHE_CANNOT_WRITE_TO_CACHE_DISK
    900,  // DISTRIBUTED_CACHE_ERROR
    901,  // CANNOT_USE_DISTRIBUTED_CACHE
    1000, // POCO_EXCEPTION, of the library for files and the network
    1001, // STD_EXCEPTION, such as one of the file system
    // It has too much to do, or it ends.
    159,  // TIMEOUT_EXCEEDED
    160,  // TOO_SLOW
    201,  // QUOTA_EXPIRED
    202,  // TOO_MANY_SIMULTANEOUS_QUERIES
    203,  // NO_FREE_CONNECTION
    216,  // QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
    236,  // ABORTED
    252,  // TOO_MANY_PARTS
    319,  // UNKNOWN_STATUS_OF_INSERT
    335,  // BARRIER_TIMEOUT
    337,  // DDL_GUARD_IS_ACTIVE
    341,  // UNFINISHED
    364,  // RECEIVED_ERROR_TOO_MANY_REQUESTS
    384,  // PART_IS_TEMPORARILY_LOCKED
    394,  // QUERY_WAS_CANCELLED
    439,  // CANNOT_SCHEDULE_TASK
    473,  // DEADLOCK_AVOIDED
    574,  // DISTRIBUTED_TOO_MANY_PENDING_BYTES
    667,  // NOT_INITIALIZED
    677,  // THREAD_WAS_CANCELED
    692,  // TOO_MANY_MUTATIONS
    695,  // ASYNC_LOAD_FAILED
    696,  // ASYNC_LOAD_CANCELED
    700,  // USER_SESSION_LIMIT_EXCEEDED
    710,  // FAULT_INJECTED
    722,  // ASYNC_LOAD_WAIT_FAILED
    733,  // TABLE_IS_BEING_RESTARTED
    735,  // QUERY_WAS_CANCELLED_BY_CLIENT
    738,  // PART_IS_LOCKED
    745,  // SERVER_OVERLOADED
    749,  // TCP_CONNECTION_LIMIT_REACHED
    762,  // HTTP_CONNECTION_LIMIT_REACHED
    763,  // SESSION_REFUSED
    776,  // RESOURCE_LIMIT_EXCEEDED
    777,  // MEMORY_RESERVATION_KILLED
    778,  // MEMORY_RESERVATION_FAILED
    1004, // STARTUP_SCRIPTS_ERROR
    1016, // TABLE_SIZE_LIMIT_EXCEEDED
    1017, // ASYNC_INSERT_FLUSH_TIMEOUT
    1019, // QUERY_SLOT_ACQUISITION_TIMEOUT
    1020, // MEMORY_RESERVATION_ACQUISITION_TIMEOUT
    // Its replicas, or the keeper of what they share.
    224, // REPLICA_IS_ALREADY_ACTIVE
    225, // NO_ZOOKEEPER
    232, // NO_SUCH_DATA_PART
    234, // NO_REPLICA_HAS_PART
    235, // DUPLICATE_DATA_PART
    242, // TABLE_IS_READ_ONLY
    244, // UNEXPECTED_ZOOKEEPER_ERROR
    250, // NOT_ENOUGH_BLOCK_NUMBERS
    251, // NO_SUCH_REPLICA
    254, // NO_ACTIVE_REPLICAS
    265, // NO_AVAILABLE_REPLICA
    279, // ALL_CONNECTION_TRIES_FAILED
    285, // TOO_FEW_LIVE_REPLICAS
    286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    289, // REPLICA_IS_NOT_IN_QUORUM
    296, // NO_REMOTE_SHARD_FOUND
    297, // SHARD_HAS_NO_CONNECTIONS
    308, // UNEXPECTED_NODE_IN_ZOOKEEPER
    369, // ALL_REPLICAS_ARE_STALE
    415, // ALL_REPLICAS_LOST
    416, // REPLICA_STATUS_CHANGED
    519, // NO_REMOTE_SHARD_AVAILABLE
    529, // NOT_A_LEADER
    568, // RAFT_ERROR
    571, // DATABASE_REPLICATION_FAILED
    593, // ZERO_COPY_REPLICATION_ERROR
    659, // UNKNOWN_STATUS_OF_TRANSACTION
    701, // CLUSTER_DOESNT_EXIST
    709, // CANNOT_GET_REPLICATED_DATABASE_SNAPSHOT
    904, // TOO_MANY_UNAVAILABLE_SHARDS
    999, // KEEPER_EXCEPTION
    // It does not know the table or the profile, or the table takes nothing.
    60,  // UNKNOWN_TABLE
    81,  // UNKNOWN_DATABASE
    180, // THERE_IS_NO_PROFILE
    218, // TABLE_IS_DROPPED
    741, // TABLE_UUID_MISMATCH
    774, // TABLE_IS_PERMANENTLY_READ_ONLY
    // It does not let the user in, or not write.
    164, // READONLY
    192, // UNKNOWN_USER
    193, // WRONG_PASSWORD
    194, // REQUIRED_PASSWORD
    195, // IP_ADDRESS_NOT_ALLOWED
    199, // UNKNOWN_QUOTA
    200, // QUOTA_DOESNT_ALLOW_KEYS
    291, // DATABASE_ACCESS_DENIED
    496, // QUOTA_REQUIRES_CLIENT_KEY
    497, // ACCESS_DENIED
    511, // UNKNOWN_ROLE
    512, // SET_NON_GRANTED_ROLE
    516, // AUTHENTICATION_FAILED
    532, // LDAP_ERROR
    576, // KERBEROS_ERROR
    673, // RESOURCE_ACCESS_DENIED
    720, // USER_EXPIRED
    759, // LICENSING_EXCEPTION
    767, // REQUIRED_SECOND_FACTOR
];

/// Returns whether an error may be about the rows of an insert.
pub(super) fn may_be_of_rows(code: u32) -> bool {
    !NOT_OF_ROWS.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_server_is_not_about_rows_and_one_of_a_value_is() {
        // Of memory, names, the disk, a dropped table, the keeper, replicas, connections, a quorum and rights.
        for code in [173, 198, 204, 218, 244, 254, 279, 286, 291, 745, 1000] {
            assert!(!may_be_of_rows(code), "{code}");
        }
        // CANNOT_PARSE_INPUT_ASSERTION_FAILED, CANNOT_PARSE_DATETIME, TYPE_MISMATCH, INCORRECT_DATA,
        // TOO_LARGE_STRING_SIZE, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, VIOLATED_CONSTRAINT, TOO_MANY_PARTITIONS, which
        // an insert of fewer rows has not.
        for code in [27, 41, 53, 117, 131, 349, 469, 565] {
            assert!(may_be_of_rows(code), "{code}");
        }
        let mut codes = NOT_OF_ROWS.to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), NOT_OF_ROWS.len(), "a code stands there twice");
    }
}
