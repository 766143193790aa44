#![allow(unsafe_code)]
#![allow(clippy::all)]
use std::time::{Duration, Instant};
use std::fs::File; use std::sync::Arc; use hiveforge_executor::*;
use rustix::event::*;
fn cpu() -> (f64,i64) { unsafe { let mut t=0.0; let mut c=0; for w in [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN] { let mut u: libc::rusage = std::mem::zeroed(); libc::getrusage(w,&mut u); t += u.ru_utime.tv_sec as f64*1e6+u.ru_utime.tv_usec as f64 + u.ru_stime.tv_sec as f64*1e6+u.ru_stime.tv_usec as f64; c+=u.ru_nvcsw+u.ru_nivcsw } (t,c) } }
fn launch() -> Launch { Launch { argv: vec!["/bin/true".into()], env: vec![("PATH".into(),"/usr/bin:/bin".into())], workdir: "/".into(), limits: Limits::default() } }
fn ps(flags: i16) { unsafe {
  let mut a: libc::posix_spawnattr_t = std::mem::zeroed(); libc::posix_spawnattr_init(&mut a); libc::posix_spawnattr_setflags(&mut a, flags);
  let argv=[c"/bin/true".as_ptr().cast_mut(), std::ptr::null_mut()]; let env=[std::ptr::null_mut()];
  let mut pid=0; assert_eq!(0, libc::posix_spawn(&mut pid, c"/bin/true".as_ptr(), std::ptr::null(), &a, argv.as_ptr(), env.as_ptr()));
  let mut st=0; libc::waitpid(pid,&mut st,0); } }
fn main() {
    let n = 300;
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sp = Spawner::new(2).unwrap();
    let ex = Arc::new(ProcessExecutor::new(sp.clone()).unwrap());
    let null = File::create("/dev/null").unwrap();
    let mut best = [(f64::MAX,0.0,0i64);7];
    for _ in 0..12 { for way in 0..7 {
        let c=cpu(); let t=Instant::now();
        match way {
            0 => for _ in 0..n { std::process::Command::new("/bin/true").spawn().unwrap().wait().unwrap(); },
            1 => for _ in 0..n { let s=||null.try_clone().unwrap().into(); let ch=sp.spawn_blocking(Command{launch:launch(),stdout:s(),stderr:s()}).unwrap(); poll(&mut [PollFd::new(&ch,PollFlags::IN)],None).unwrap(); ch.end().unwrap(); },
            2 => { let ex=ex.clone(); rt.block_on(async{ tokio::spawn(async move { for _ in 0..n { let e=ex.start(launch()).await.unwrap(); while e.ready().await==Ready::Output { e.drain(&mut |_,_|Ok(()),usize::MAX).unwrap(); } } }).await.unwrap() }) }
            4 => for _ in 0..n { ps(0) },
            5 => for _ in 0..n { ps(0x80) },
            6 => { let ps=|f| ps(f); let h = std::thread::spawn({let n=n; move || for _ in 0..n { std::thread::spawn(move || ()).join().unwrap(); ps(0x80) } }); h.join().unwrap(); },
            _ => { let ex=ex.clone(); rt.block_on(async{ let mut hs=vec![]; for _ in 0..4 { let ex=ex.clone(); hs.push(tokio::spawn(async move { for _ in 0..n/4 { let e=ex.start(launch()).await.unwrap(); while e.ready().await==Ready::Output { e.drain(&mut |_,_|Ok(()),usize::MAX).unwrap(); } } })); } for h in hs { h.await.unwrap() } }) }
        }
        let w=t.elapsed(); let d=cpu();
        let per=(d.0-c.0)/n as f64; if per<best[way].0 { best[way]=(per, w.as_secs_f64()*1e6/n as f64,(d.1-c.1)*10/n as i64); }
    } }
    for (i,b) in best.iter().enumerate() { println!("{i}: cpu {:.0} us wall {:.0} us switches/10 {}", b.0,b.1,b.2); }
    let _ = Duration::ZERO;
}
